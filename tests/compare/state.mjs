// Compares what is not compared byte by byte: the two state files, and what each command starts.
//
//   node state.mjs <project installed by pnpm> <project installed by pacquet>
//
// Prints what differs beyond the documented list, and exits 1 where anything does.

import fs from 'node:fs'
import path from 'node:path'

const [theirs, ours] = process.argv.slice(2).map((directory) => fs.realpathSync(directory))
let differences = 0
const differ = (what) => {
  differences += 1
  console.log(what)
}

// Fields that say who installed, when and into which store; and packages with skills for agents.
const modulesVariable = new Set(['packageManager', 'pendingSkills', 'prunedAt', 'storeDir'])
const stateVariable = new Set(['lastValidatedTimestamp', 'validation'])
// pnpm has addresses of its own, and each program was told of a store of its own.
const settingsVariable = new Set(['registryRoutes', 'storeDir'])

function read (root, name) {
  const file = path.join(root, 'node_modules', name)
  return fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, 'utf8').replaceAll(root, '<project>')) : {}
}

// `order` tells whether the order of keys counts, which it does where pnpm walks them.
function compareObjects (label, left, right, variable, order) {
  const sorted = (_, value) => value?.constructor === Object
    ? Object.fromEntries(Object.entries(value).sort(([one], [other]) => one < other ? -1 : 1))
    : value
  for (const key of new Set([...Object.keys(left), ...Object.keys(right)])) {
    const [before, after] = [left, right].map((side) => JSON.stringify(side[key], order ? undefined : sorted))
    if (variable.has(key) || before === after) continue
    const [short, shorter] = [before, after].map((text) => text?.slice(0, 300))
    differ(`${label} ${key}: pnpm ${short}, pacquet ${shorter}`)
  }
}

const modules = [theirs, ours].map((root) => read(root, '.modules.yaml'))
compareObjects('.modules.yaml', ...modules, modulesVariable, true)
const keys = modules.map((side) => Object.keys(side).filter((key) => key !== 'pendingSkills').join(' '))
if (keys[0] !== keys[1]) differ(`.modules.yaml keys: pnpm ${keys[0]}, pacquet ${keys[1]}`)
const [left, right] = [theirs, ours].map((root) => read(root, '.pnpm-workspace-state-v1.json'))
compareObjects('workspace state', left, right, new Set([...stateVariable, 'settings']))
compareObjects('workspace state settings', left.settings ?? {}, right.settings ?? {}, settingsVariable)

// The file that a command starts, relative to the project: a link's target, or what the shim says.
function started (root, command) {
  const file = path.join(root, command)
  const facts = fs.lstatSync(file)
  let target
  if (facts.isSymbolicLink()) {
    target = fs.readlinkSync(file)
  } else {
    const text = fs.readFileSync(file, 'utf8')
    target = /^# cmd-shim-target=(.*)$/m.exec(text)?.[1] ?? shimTarget(text)
    // A package may bring a `.bin` of its own, with any files in it.
    if (target === undefined) return `itself: ${facts.mode & 0o111} ${text}`
    if ((facts.mode & 0o111) !== 0o111) differ(`${command} is not executable in ${root}`)
  }
  const absolute = path.resolve(path.dirname(file), target)
  if (!fs.existsSync(absolute)) return `missing ${path.relative(root, realPath(absolute))}`
  return path.relative(root, fs.realpathSync(absolute))
}

// The real path of what is not there: of the directory above it that is, and the rest.
function realPath (missing) {
  const parent = path.dirname(missing)
  return path.join(fs.existsSync(parent) ? fs.realpathSync(parent) : realPath(parent), path.basename(missing))
}

function shimTarget (text) {
  const word = /'((?:[^']|'\\'')*)' "\$@"\n$/.exec(text)?.[1]
  return word?.replaceAll("'\\''", "'")
}

function * commands (root, directory) {
  for (const entry of fs.readdirSync(path.join(root, directory), { withFileTypes: true })) {
    const below = path.join(directory, entry.name)
    if (path.basename(directory) === '.bin') yield below
    else if (entry.isDirectory()) yield * commands(root, below)
  }
}

const [expected, actual] = [theirs, ours].map((root) => new Set(commands(root, '')))
for (const command of expected) {
  const before = started(theirs, command)
  if (actual.has(command)) {
    const after = started(ours, command)
    if (before !== after) differ(`${command}: pnpm starts ${before}, pacquet ${after}`)
  } else if (!before.startsWith('missing ')) {
    differ(`${command}: only pnpm has it; it starts ${before}`)
  }
}
for (const command of actual) {
  if (!expected.has(command)) differ(`${command}: only pacquet has it`)
}
process.exit(differences === 0 ? 0 : 1)
