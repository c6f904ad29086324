use pacquet::store::*;
use std::time::Instant;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let root = std::path::PathBuf::from(&a[1]);
    let threads: usize = a[2].parse().unwrap();
    let mut pk = vec![];
    for l in std::fs::read_to_string("/tmp/tarballs/integrity.tsv")
        .unwrap()
        .lines()
    {
        let (id, i) = l.split_once('\t').unwrap();
        let f = format!("/tmp/tarballs/{}.tgz", id.replace('/', "+"));
        let b = bytes::Bytes::from(std::fs::read(f).unwrap());
        pk.push((
            PackageKey::new(i, id, None),
            Integrity::parse(i).unwrap(),
            b,
        ));
    }
    let t = Instant::now();
    let store = Store::open(&root, Access::ReadWrite).unwrap();
    println!("open {:?}", t.elapsed());
    let next = std::sync::atomic::AtomicUsize::new(0);
    let (u0, s0) = cpu();
    let t = Instant::now();
    let packed: Vec<Packed> = std::thread::scope(|s| {
        let h: Vec<_> = (0..threads)
            .map(|_| {
                s.spawn(|| {
                    let mut v = vec![];
                    loop {
                        let n = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        let Some((k, i, b)) = pk.get(n) else { return v };
                        let mut o = IngestOptions::new(k.clone());
                        if std::env::var("NOINT").is_err() {
                            o.integrity = Some(i);
                        }
                        match store.ingest_tarball(b.clone(), &o) {
                            Ok(p) => v.push(p),
                            Err(e) => {
                                let mut s = e.to_string();
                                let mut c: &dyn std::error::Error = &e;
                                while let Some(n) = c.source() {
                                    s += &format!(": {n}");
                                    c = n;
                                }
                                println!("FAIL {s}")
                            }
                        }
                    }
                })
            })
            .collect();
        h.into_iter().flat_map(|h| h.join().unwrap()).collect()
    });
    let (u1, s1) = cpu();
    println!(
        "ingest {} in {:?} user {:.3} sys {:.3}",
        packed.len(),
        t.elapsed(),
        u1 - u0,
        s1 - s0
    );
    println!(
        "files {} bytes {}",
        packed.iter().map(|p| p.record.facts.files).sum::<u32>(),
        packed.iter().map(|p| p.record.facts.bytes).sum::<u64>()
    );
    for p in &packed {
        for w in &p.warnings {
            println!("{}: {w}", p.key.as_str().split('\t').nth(1).unwrap());
        }
        if p.skipped_links > 0 {
            println!("links {}", p.key.as_str());
        }
    }
    let t = Instant::now();
    store.commit(&packed).unwrap();
    println!("commit {:?}", t.elapsed());
    let keys: Vec<_> = pk.iter().map(|p| p.0.clone()).collect();
    for _ in 0..2 {
        let t = Instant::now();
        let s2 = Store::open(&root, Access::ReadWrite).unwrap();
        let o = t.elapsed();
        let r = s2.lookup_many(&keys).unwrap();
        println!(
            "before settle: open {:?} +lookup {:?} found {}",
            o,
            t.elapsed(),
            r.iter().flatten().count()
        );
    }
    let t = Instant::now();
    store.settle().unwrap();
    println!("settle {:?}", t.elapsed());
    for _ in 0..3 {
        let t = Instant::now();
        let s2 = Store::open(&root, Access::ReadWrite).unwrap();
        let o = t.elapsed();
        let r = s2.lookup_many(&keys).unwrap();
        println!(
            "open {:?} +lookup {:?} found {}",
            o,
            t.elapsed(),
            r.iter().flatten().count()
        );
    }
    let t = Instant::now();
    let packs: Vec<_> = packed
        .iter()
        .map(|p| store.open_pack(&p.record.pack).unwrap())
        .collect();
    println!(
        "open packs {:?} memory {}",
        t.elapsed(),
        packs.iter().map(|p| p.memory_bytes()).sum::<usize>()
    );
    drop(packs);
    let t = Instant::now();
    let f = store.verify().unwrap();
    println!(
        "verify {:?} findings {} {:?}",
        t.elapsed(),
        f.len(),
        f.first()
    );
    let t = Instant::now();
    let f = store.rebuild_index().unwrap();
    println!("rebuild {:?} {:?}", t.elapsed(), f);
    println!("{:?}", store.status().unwrap());
}
fn cpu() -> (f64, f64) {
    let s = std::fs::read_to_string("/proc/self/stat").unwrap();
    let f: Vec<&str> = s.rsplit_once(')').unwrap().1.split_whitespace().collect();
    (
        f[11].parse::<f64>().unwrap() / 100.0,
        f[12].parse::<f64>().unwrap() / 100.0,
    )
}
