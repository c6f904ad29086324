// Compares pnpm and pacquet on generated workspaces, without any network.
//
//   node generated.mjs [<seed>|<first seed>-<last seed>]... [--trees] [--dense] [--keep <directory>]
//
// Each seed gives a registry of small packages on loopback, with several versions, peers, optional
// peers and cycles, and a workspace with random settings that depends on them in every form. Both
// programs resolve it, without a lockfile and once more after each of three changes, of which the
// last two begin with pnpm's lockfile; lockfiles and exit codes are compared. With --trees both
// install what pnpm locked, and the trees are compared by trees.sh and state.mjs. With --dense
// there are more packages and many more edges, peers and cycles: such
// graphs can be flattened in no small tree. Prints what differs and exits 1 where anything does.
//
//   PNPM      the pnpm to compare with (pnpm)   PACQUET  the program (target/debug/pacquet)
//   SETTINGS  lines for every pnpm-workspace.yaml, which replace the random ones of the same names

import { spawn } from 'node:child_process'
import crypto from 'node:crypto'
import fs from 'node:fs'
import http from 'node:http'
import os from 'node:os'
import path from 'node:path'
import zlib from 'node:zlib'

const here = import.meta.dirname
const pnpm = process.env.PNPM ?? 'pnpm'
const pacquet = process.env.PACQUET ?? path.join(here, '../../target/debug/pacquet')
const given = process.argv.slice(2)
const keep = given.includes('--keep') ? given.splice(given.indexOf('--keep'), 2)[1] : undefined
const trees = given.includes('--trees')
const dense = given.includes('--dense')
const seeds = given.filter((word) => !word.startsWith('--')).flatMap((word) => {
  const [first, last = first] = word.split('-').map(Number)
  return Array.from({ length: last - first + 1 }, (_, index) => first + index)
})
const scratch = keep ?? fs.mkdtempSync(path.join(os.tmpdir(), 'generated-'))
const packages = new Map()

// A sequence that a seed decides (mulberry32), and choices by it.
function random (seed) {
  let state = seed * 2654435761
  const next = () => {
    state = (state + 0x6D2B79F5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
  return {
    chance: (probability) => next() < probability,
    below: (limit) => Math.floor(next() * limit),
    one: (list) => list[Math.floor(next() * list.length)],
    some (list, limit) {
      const rest = [...list]
      const count = Math.min(Math.floor(next() * (limit + 1)), rest.length)
      return Array.from({ length: count }, () => rest.splice(Math.floor(next() * rest.length), 1)[0])
    }
  }
}

function tarball (manifest) {
  const file = (name, text) => {
    const header = Buffer.alloc(512)
    header.write(`package/${name}`, 0)
    header.write('0000644\0' + '0000000\0' + '0000000\0', 100)
    header.write(Buffer.byteLength(text).toString(8).padStart(11, '0') + '\0' + '00000000000\0', 124)
    header.write('        0', 148)
    header.write('ustar\0' + '00', 257)
    const sum = header.reduce((total, byte) => total + byte, 0)
    header.write(sum.toString(8).padStart(6, '0') + '\0 ', 148)
    const body = Buffer.alloc(Math.ceil(Buffer.byteLength(text) / 512) * 512)
    body.write(text)
    return Buffer.concat([header, body])
  }
  return zlib.gzipSync(Buffer.concat([
    file('package.json', JSON.stringify(manifest)),
    file('index.js', `module.exports = '${manifest.name}@${manifest.version}'\n`),
    Buffer.alloc(1024)
  ]))
}

// A range that the version fits, and sometimes the tag.
function range (choices, version, isPeer = false) {
  const major = version.split('.')[0]
  if (version.includes('-')) return choices.one([version, `^${version}`, `>=${version}`])
  const forms = [`^${version}`, `~${version}`, '*', version, `>=${version}`, `^${major}`, `${major}.x`]
  return choices.one([...forms, isPeer ? `^${version} || ^7` : 'latest'])
}

// Publishes the packages of a seed and returns their names.
function publish (seed, choices) {
  const count = !dense ? 8 + choices.below(14) : 12 + choices.below(30)
  const names = Array.from({ length: count }, (_, index) => {
    const name = `g${seed}-${'abcdefghijklmnopqrstuvwxyz'[index % 26]}${index}`
    return choices.chance(0.2) ? `@scope${index % 3}/${name}` : name
  })
  const all = ['1.0.0', '1.1.0', '1.2.3', '2.0.0', '2.1.0-rc.1', '3.0.0'].slice(dense ? 0 : 2)
  const versions = new Map(names.map((name) =>
    [name, all.filter((version) => version === '2.0.0' || choices.chance(dense ? 0.5 : 0.3))]))
  const isPeer = new Set(names.filter(() => choices.chance(0.3)))
  names.forEach((name, index) => {
    const document = { name, versions: {}, time: {} }
    versions.get(name).forEach((version, order) => {
      const manifest = { name, version }
      const near = names.filter((_, other) => other !== index &&
        (other > index || choices.chance(dense ? 0.08 : 0.01)))
      const add = (group, chosen) => {
        for (const other of chosen) {
          const version = choices.one(versions.get(other));
          (manifest[group] ??= {})[other] = range(choices, version, group === 'peerDependencies')
        }
      }
      add('dependencies', choices.some(near, dense ? 4 : 2))
      if (choices.chance(0.15)) add('optionalDependencies', choices.some(near, 1))
      const wanted = choices.chance(dense ? 0.45 : 0.25) ? choices.some([...isPeer].filter((one) => one !== name), dense ? 3 : 2) : []
      add('peerDependencies', wanted)
      for (const peer of wanted) {
        if (choices.chance(0.35)) (manifest.peerDependenciesMeta ??= {})[peer] = { optional: true }
      }
      if (choices.chance(0.05)) (manifest.peerDependenciesMeta ??= {})[choices.one(names)] = { optional: true }
      if (choices.chance(0.05)) manifest.os = [choices.one(['linux', 'win32', '!linux'])]
      if (choices.chance(0.1)) manifest.engines = { node: '>=10' }
      if (choices.chance(0.1)) manifest.bin = 'index.js'
      const body = tarball(manifest)
      const integrity = 'sha512-' + crypto.createHash('sha512').update(body).digest('base64')
      document.versions[version] = { ...manifest, dist: { integrity, body } }
      document.time[version] = new Date(Date.UTC(2020, index % 12, 1 + order)).toISOString()
    })
    const plain = versions.get(name).filter((version) => !version.includes('-'))
    document['dist-tags'] = { latest: choices.chance(0.8) ? plain.at(-1) : choices.one(plain) }
    packages.set(name, document)
  })
  return { names, versions, isPeer }
}

function settings (choices, names, versions) {
  const lines = new Map()
  const maybe = (probability, key, values) => {
    if (choices.chance(probability)) lines.set(key, choices.one(values))
  }
  maybe(0.25, 'autoInstallPeers', ['false'])
  maybe(0.2, 'dedupePeerDependents', ['false'])
  maybe(0.2, 'dedupeInjectedDeps', ['false'])
  maybe(0.2, 'injectWorkspacePackages', ['true'])
  maybe(0.2, 'linkWorkspacePackages', ['true', 'deep'])
  maybe(0.15, 'preferWorkspacePackages', ['true'])
  maybe(0.15, 'resolutionMode', ['lowest-direct', 'time-based'])
  maybe(0.15, 'dedupePeers', ['true'])
  maybe(0.1, 'dedupeDirectDeps', ['true'])
  maybe(0.1, 'resolvePeersFromWorkspaceRoot', ['false'])
  maybe(0.1, 'excludeLinksFromLockfile', ['true'])
  maybe(0.1, 'autoInstallPeersFromHighestMatch', ['true'])
  maybe(0.1, 'peersSuffixMaxLength', ['40'])
  maybe(0.25, 'hoistingLimits', ['workspaces', 'dependencies'])
  const entry = (name) => `"${name}": "${range(choices, choices.one(versions.get(name)), true)}"`
  const chosen = (limit) => choices.some(names, limit).map(entry)
  lines.set('catalog', `{ ${names.slice(0, 4).map(entry).join(', ')} }`)
  lines.set('catalogs', `{ other: { ${names.slice(2, 6).map(entry).join(', ')} } }`)
  if (choices.chance(0.2)) lines.set('overrides', `{ ${chosen(2).join(', ')} }`)
  if (choices.chance(0.2)) {
    const extension = choices.chance(0.5) ? 'dependencies' : 'peerDependencies'
    lines.set('packageExtensions',
      `{ "${choices.one(names)}": { ${extension}: { ${chosen(2).join(', ')} } } }`)
  }
  return lines
}

// Writes the workspace of a seed and returns the manifests by directory.
function workspace (seed, directory) {
  const choices = random(seed)
  const { names, versions, isPeer } = publish(seed, choices)
  const lines = settings(choices, names, versions)
  for (const line of (process.env.SETTINGS ?? '').split('\n').filter(Boolean)) {
    lines.set(line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2))
  }
  const links = ['true', 'deep'].includes(lines.get('linkWorkspacePackages'))
  const directories = ['.', ...Array.from({ length: choices.below(7) }, (_, index) => `packages/w${index}`)]
  const name = (at) => at === '.' ? `root-${seed}` : `@w/${path.basename(at)}-${seed}`
  const manifests = new Map()
  for (const at of directories) {
    const manifest = { name: name(at), version: choices.one(['1.0.0', '2.1.0']) }
    const add = (group, alias, specifier) => { (manifest[group] ??= {})[alias] = specifier }
    for (const alias of choices.some(names, at === '.' ? 4 : 7)) {
      const group = choices.one(['dependencies', 'dependencies', 'devDependencies', 'optionalDependencies'])
      const wanted = range(choices, choices.one(versions.get(alias)))
      const place = names.indexOf(alias)
      if (choices.chance(0.06)) add(group, `alias-${place}`, `npm:${alias}@${wanted}`)
      else if (place < 4 && choices.chance(0.5)) add(group, alias, 'catalog:')
      else if (place > 1 && place < 6 && choices.chance(0.5)) add(group, alias, 'catalog:other')
      else add(group, alias, wanted)
    }
    for (const peer of at === '.' ? [] : choices.some([...isPeer], 2)) {
      add('peerDependencies', peer, range(choices, choices.one(versions.get(peer)), true))
      if (choices.chance(0.4)) (manifest.peerDependenciesMeta ??= {})[peer] = { optional: true }
    }
    for (const other of directories) {
      if (other === at || other === '.' || !choices.chance(0.3)) continue
      const group = choices.one(['dependencies', 'devDependencies', 'optionalDependencies'])
      const relative = path.relative(at, other)
      add(group, name(other), choices.one(['workspace:*', 'workspace:*', 'workspace:^', 'workspace:~',
        `workspace:${relative.startsWith('.') ? relative : './' + relative}`,
        `link:${relative}`, `file:${relative}`, '*', '^1.0.0'].slice(0, links ? 9 : 7)))
      if (choices.chance(0.4)) (manifest.dependenciesMeta ??= {})[name(other)] = { injected: true }
    }
    manifests.set(at, manifest)
    fs.mkdirSync(path.join(directory, at), { recursive: true })
    fs.writeFileSync(path.join(directory, at, 'package.json'), JSON.stringify(manifest, null, 2) + '\n')
  }
  if (choices.chance(0.15)) {
    const patched = choices.one(names)
    lines.set('patchedDependencies', `{ "${patched}": patches/one.patch }`)
    lines.set('allowUnusedPatches', 'true')
    fs.mkdirSync(path.join(directory, 'patches'))
    fs.writeFileSync(path.join(directory, 'patches/one.patch'), 'diff --git a/new.js b/new.js\n' +
      'new file mode 100644\n--- /dev/null\n+++ b/new.js\n@@ -0,0 +1 @@\n+new\n')
  }
  fs.writeFileSync(path.join(directory, 'pnpm-workspace.yaml'), 'packages:\n- packages/*\n' +
    [...lines].map(([key, value]) => `${key}: ${value}\n`).join(''))
  return { choices, names, versions, manifests }
}

// Changes one project as a person would: a dependency more, one less, one wanted otherwise.
function change ({ choices, names, versions, manifests }) {
  const at = choices.one([...manifests.keys()])
  const manifest = manifests.get(at)
  const present = Object.keys(manifest.dependencies ?? {}).filter((alias) => names.includes(alias))
  if (present.length > 0 && choices.chance(0.4)) delete manifest.dependencies[choices.one(present)]
  for (const alias of choices.some(names, 2)) {
    (manifest.dependencies ??= {})[alias] = range(choices, choices.one(versions.get(alias)))
  }
}

const groups = ['dependencies', 'devDependencies', 'optionalDependencies']

// The dependencies on packages that projects declare: manifest, group and alias.
function declared ({ names, manifests }) {
  return [...manifests.values()].flatMap((manifest) => groups.flatMap((group) =>
    Object.keys(manifest[group] ?? {}).filter((alias) => names.includes(alias)).map((alias) =>
      ({ manifest, group, alias }))))
}

// Takes dependencies away and does nothing else.
function removal (generated, choices) {
  for (const { manifest, group, alias } of choices.some(declared(generated), 2)) {
    delete manifest[group][alias]
  }
}

// Asks for what is there with other words or in another group, or for what others have.
function rewording (generated, choices) {
  const { names, versions, manifests } = generated
  const wanted = (alias) => range(choices, choices.one(versions.get(alias)))
  const all = declared(generated)
  if (all.length > 0 && choices.chance(0.7)) {
    const { manifest, group, alias } = choices.one(all)
    const specifier = choices.chance(0.5) ? manifest[group][alias] : wanted(alias)
    delete manifest[group][alias];
    (manifest[choices.one(groups)] ??= {})[alias] = specifier
  } else {
    const manifest = choices.one([...manifests.values()])
    const alias = choices.one(names)
    for (const group of groups) delete manifest[group]?.[alias];
    (manifest[choices.one(groups)] ??= {})[alias] = wanted(alias)
  }
}

function write ({ manifests }, directories) {
  for (const directory of directories) {
    for (const [at, manifest] of manifests) {
      fs.writeFileSync(path.join(directory, at, 'package.json'), JSON.stringify(manifest, null, 2) + '\n')
    }
  }
}

const registry = http.createServer((request, response) => {
  const [name, archive] = decodeURIComponent(request.url.slice(1)).split('/-/')
  const document = packages.get(name)
  const version = archive?.slice(path.basename(name).length + 1, -'.tgz'.length)
  if (!document || (archive && !document.versions[version])) {
    response.writeHead(404, { 'content-type': 'application/json' }).end('{"error":"not found"}')
  } else if (archive) {
    response.writeHead(200, { 'content-type': 'application/octet-stream' })
    response.end(document.versions[version].dist.body)
  } else {
    const versions = Object.fromEntries(Object.entries(document.versions).map(([version, manifest]) => {
      const address = `http://${request.headers.host}/${name}/-/${path.basename(name)}-${version}.tgz`
      return [version, { ...manifest, dist: { integrity: manifest.dist.integrity, tarball: address } }]
    }))
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ ...document, versions }))
  }
})

function run (program, directory, words) {
  return new Promise((resolve) => {
    const child = spawn(program, [...words, '--registry', `http://127.0.0.1:${registry.address().port}/`,
      '--config.minimumReleaseAge=0', '--store-dir', path.join(scratch, `store-${path.basename(program)}`)], {
      cwd: directory,
      env: {
        ...process.env,
        CI: '',
        HOME: path.join(scratch, 'home'),
        PACQUET_CACHE_DIR: path.join(scratch, 'cache'),
        XDG_CACHE_HOME: path.join(scratch, 'home/.cache')
      },
      stdio: ['ignore', 'pipe', 'pipe']
    })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => { output += data })
    const guard = setTimeout(() => child.kill('SIGKILL'), 30_000)
    child.on('error', (error) => resolve({ code: -1, output: String(error) }))
    child.on('close', (code) => { clearTimeout(guard); resolve({ code, output }) })
  })
}

const lockfile = (directory) => {
  const file = path.join(directory, 'pnpm-lock.yaml')
  return fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : ''
}

let different = 0
function differ (seed, what, detail) {
  different += 1
  console.log(`DIFF ${seed} ${what}\n${detail.trimEnd().split('\n').slice(0, Number(process.env.LINES ?? 40)).join('\n')}`)
}

function shell (words) {
  return new Promise((resolve) => {
    const child = spawn(words[0], words.slice(1), { stdio: ['ignore', 'pipe', 'inherit'] })
    let output = ''
    child.stdout.on('data', (data) => { output += data })
    child.on('close', (code) => resolve({ code, output }))
  })
}

// Resolves in both directories and compares; true where both did and agree.
async function resolved (seed, what, directories) {
  const words = ['install', '--lockfile-only', '--no-frozen-lockfile', '--ignore-scripts']
  const [theirs, ours] = await Promise.all([run(pnpm, directories[0], words), run(pacquet, directories[1], words)])
  if ((theirs.code === 0) !== (ours.code === 0)) {
    const end = (output) => output.trimEnd().split('\n').slice(-6).join('\n')
    differ(seed, `${what}: exit ${theirs.code} and ${ours.code}`, `${end(theirs.output)}\n--\n${end(ours.output)}`)
    return false
  }
  if (theirs.code !== 0) {
    // Warnings end with their code. Some failures of pnpm have none.
    const codes = [theirs, ours].map(({ output }) => /^(?:Error: )?(ERR_\w+)/m.exec(output)?.[1])
    if (codes[0] && codes[0] !== codes[1]) differ(seed, `${what}: ${codes.join(' and ')}`, ours.output)
    return false
  }
  if (lockfile(directories[0]) !== lockfile(directories[1])) {
    const files = directories.map((directory) => path.join(directory, 'pnpm-lock.yaml'))
    differ(seed, `${what}: lockfile`, (await shell(['diff', ...files])).output)
    return false
  }
  return true
}

async function installed (seed, linker, directories) {
  const words = ['install', '--frozen-lockfile', '--ignore-scripts', `--config.nodeLinker=${linker}`]
  const [theirs, ours] = await Promise.all([
    run(pnpm, directories[0], words), run(pacquet, directories[1], [...words, '--no-virtual'])
  ])
  if (theirs.code !== 0 || ours.code !== 0) {
    if (theirs.code !== ours.code) {
      differ(seed, `${linker}: exit ${theirs.code} and ${ours.code}`, `${theirs.output}\n--\n${ours.output}`)
    }
    return
  }
  const trees = await shell(['sh', path.join(here, 'trees.sh'), ...directories])
  if (trees.code !== 0) differ(seed, `${linker}: tree`, trees.output)
  const state = await shell([process.execPath, path.join(here, 'state.mjs'), ...directories])
  if (state.code !== 0) differ(seed, `${linker}: state`, state.output)
}

async function compare (seed) {
  const directories = ['pnpm', 'pacquet'].map((name) => path.join(scratch, String(seed), name))
  for (const directory of directories) fs.rmSync(directory, { recursive: true, force: true })
  const generated = workspace(seed, directories[0])
  fs.cpSync(directories[0], directories[1], { recursive: true })
  const before = different
  if (await resolved(seed, 'resolve', directories)) {
    change(generated)
    write(generated, directories)
    await resolved(seed, 'change', directories)
  }
  for (const [order, [what, edit]] of Object.entries({ removal, rewording }).entries()) {
    if (!lockfile(directories[0])) continue
    fs.copyFileSync(path.join(directories[0], 'pnpm-lock.yaml'), path.join(directories[1], 'pnpm-lock.yaml'))
    edit(generated, random(seed * 1000 + order))
    write(generated, directories)
    await resolved(seed, what, directories)
  }
  if (trees && lockfile(directories[0])) {
    fs.copyFileSync(path.join(directories[0], 'pnpm-lock.yaml'), path.join(directories[1], 'pnpm-lock.yaml'))
    for (const linker of (process.env.LINKERS ?? 'isolated hoisted').split(' ')) {
      for (const directory of directories) {
        for (const at of generated.manifests.keys()) {
          fs.rmSync(path.join(directory, at, 'node_modules'), { recursive: true, force: true })
        }
      }
      await installed(seed, linker, directories)
    }
  }
  if (different === before) console.log(`SAME ${seed}`)
  if (!keep) fs.rmSync(path.join(scratch, String(seed)), { recursive: true, force: true })
}

fs.mkdirSync(path.join(scratch, 'home'), { recursive: true })
await new Promise((resolve) => registry.listen(0, '127.0.0.1', resolve))
for (const seed of seeds) await compare(seed)
registry.close()
registry.closeAllConnections()
if (!keep) fs.rmSync(scratch, { recursive: true, force: true })
console.log(`${seeds.length} workspaces, ${different} differences`)
process.exit(different === 0 ? 0 : 1)
