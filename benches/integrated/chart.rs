//! Bars of medians, as SVG.

use std::error::Error;
use std::fs;
use std::path::Path;

use plotters::prelude::*;

use crate::measure::Sample;
use crate::peers::Kind;
use crate::report::median;
use crate::result::Results;

/// Which scenarios get a chart, and its title.
pub(crate) const CHARTS: [(&str, &str); 7] = [
    (
        "fresh-restore.cold-cache.cold-store",
        "empty store, frozen lockfile",
    ),
    (
        "fresh-restore.hot-cache.hot-store.again",
        "warm store, no node_modules",
    ),
    ("repeat-install.hot-cache.hot-store", "nothing to do"),
    ("remove.again", "removal"),
    ("fresh-install.hot-cache.hot-store", "no lockfile, all warm"),
    (
        "install-and-first-run.eslint.warm",
        "install and eslint, warm page cache",
    ),
    (
        "install-and-first-run.eslint.caches-dropped",
        "install and eslint, caches dropped",
    ),
];

const WIDTH: u32 = 760;
const ROW_HEIGHT: u32 = 28;
const LABEL_WIDTH: i32 = 220;
const OURS: RGBColor = RGBColor(0x1f, 0x77, 0xb4);
const THEIRS: RGBColor = RGBColor(0xb0, 0xb7, 0xc3);

/// Writes `FIXTURE.SCENARIO.svg` for every chart that the results allow.
pub(crate) fn write_all(results: &Results, folder: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(folder)?;
    for (fixture, scenarios) in &results.samples {
        for (scenario, title) in CHARTS {
            let Some(peers) = scenarios.get(scenario) else {
                continue;
            };
            let wall = |samples: &Vec<Sample>| median(samples.iter().map(|s| s.wall_ms).collect());
            let mut bars: Vec<(&str, bool, f64)> = results
                .peers
                .iter()
                .filter_map(|(id, name, _)| {
                    let samples = peers.get(id)?;
                    Some((name.as_str(), id == Kind::Pacquet.id(), wall(samples)))
                })
                .collect();
            bars.sort_by(|left, right| left.2.total_cmp(&right.2));
            let path = folder.join(file_name(fixture, scenario));
            draw(&path, &format!("{fixture}: {title} (median, ms)"), &bars)?;
        }
    }
    Ok(())
}

/// The file of a chart.
pub(crate) fn file_name(fixture: &str, scenario: &str) -> String {
    format!("{fixture}.{scenario}.svg")
}

fn draw(path: &Path, title: &str, bars: &[(&str, bool, f64)]) -> Result<(), Box<dyn Error>> {
    let height = ROW_HEIGHT * (bars.len() as u32 + 2);
    let area = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    area.fill(&WHITE)?;
    let text = |size: i32| ("sans-serif", size).into_font().color(&BLACK);
    area.draw_text(title, &text(16), (10, 8))?;
    let largest = bars.iter().map(|bar| bar.2).fold(1.0, f64::max);
    let room = f64::from(WIDTH) - f64::from(LABEL_WIDTH) - 90.0;
    for (index, (name, ours, value)) in bars.iter().enumerate() {
        let top = (ROW_HEIGHT as i32) * (index as i32 + 1) + 12;
        let bottom = top + ROW_HEIGHT as i32 - 8;
        let right = LABEL_WIDTH + (room * value / largest) as i32;
        let color = if *ours { OURS } else { THEIRS };
        area.draw_text(name, &text(14), (10, top + 3))?;
        area.draw(&Rectangle::new(
            [(LABEL_WIDTH, top), (right.max(LABEL_WIDTH + 1), bottom)],
            color.filled(),
        ))?;
        area.draw_text(&format!("{value:.1}"), &text(14), (right + 8, top + 3))?;
    }
    area.present()?;
    Ok(())
}
