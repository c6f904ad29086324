'use strict'
// Runs the hooks and finders of pnpmfiles. Requests come as lines of JSON on standard input and are
// answered in their order on standard output; a line with "log" may come before an answer.

const { readFileSync } = require('node:fs')
const { join } = require('node:path')
const { createInterface } = require('node:readline')
const { pathToFileURL } = require('node:url')

const answer = process.stdout.write.bind(process.stdout)
// Standard output is for answers. What hooks print goes where people see it.
process.stdout.write = process.stderr.write.bind(process.stderr)

const send = (message) => answer(JSON.stringify(message) + '\n')
const files = []
const finders = new Map()

class Refusal extends Error {
  constructor (code, message) {
    super(message)
    this.code = code
  }
}

const failed = (path, error) => {
  const why = error instanceof Error ? (error.stack || String(error)) : String(error)
  return new Refusal('ERR_PNPM_PNPMFILE_FAIL',
    `Error during pnpmfile execution. pnpmfile: "${path}". Error: "${why}".`)
}

async function load (path) {
  const byImport = () => import(pathToFileURL(path).href)
  if (path.endsWith('.mjs')) return byImport()
  try {
    return require(path)
  } catch (error) {
    if (error && error.code === 'ERR_REQUIRE_ESM') return byImport()
    throw error
  }
}

const requests = {
  async load ({ paths }) {
    const found = []
    for (const path of paths) {
      let module
      try {
        module = await load(path)
      } catch (error) {
        throw failed(path, error)
      }
      const hooks = module?.hooks ?? module?.default?.hooks
      files.push({ path, hooks: hooks ?? {} })
      const named = module?.finders ?? module?.default?.finders ?? {}
      for (const [name, find] of Object.entries(named)) {
        if (typeof find === 'function') finders.set(name, { path, find })
      }
      found.push({
        hooks: Boolean(hooks),
        readPackage: typeof hooks?.readPackage === 'function',
        afterAllResolved: typeof hooks?.afterAllResolved === 'function',
        updateConfig: typeof hooks?.updateConfig === 'function',
        filterLog: Boolean(hooks?.filterLog)
      })
    }
    return found
  },

  async updateConfig ({ config }) {
    let has = false
    for (const { path, hooks } of files) {
      if (typeof hooks.updateConfig !== 'function') continue
      has = true
      let changed
      try {
        changed = await hooks.updateConfig(config)
      } catch (error) {
        throw failed(path, error)
      }
      const isMap = changed && typeof changed === 'object' && !Array.isArray(changed)
      if (isMap) config = changed
    }
    return has ? config : null
  },

  unknownFinder: ({ names }) => names.find((name) => !finders.has(name)) ?? null,

  async find ({ names, candidate, directory }) {
    const seen = { ...candidate, readManifest: () => readManifest(directory) }
    const messages = []
    let isFound = false
    for (const name of names) {
      const { path, find } = finders.get(name)
      let result
      try {
        result = await find(seen)
      } catch (error) {
        throw failed(path, error)
      }
      isFound ||= Boolean(result)
      if (result && typeof result === 'string') messages.push(result)
    }
    return isFound ? { message: messages.join('\n') } : null
  },

  readPackage ({ manifests }) {
    return Promise.all(manifests.map(readPackage))
  },

  async afterAllResolved ({ lockfile }) {
    for (const { path, hooks } of files) {
      if (typeof hooks.afterAllResolved !== 'function') continue
      try {
        lockfile = (await hooks.afterAllResolved(lockfile, context('afterAllResolved'))) ?? lockfile
      } catch (error) {
        throw failed(path, error)
      }
    }
    return lockfile
  }
}

// `null` where the package is not there, which finders may have to do with.
const readManifest = (directory) => {
  try {
    return JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'))
  } catch {
    return null
  }
}

const context = (hook) => ({
  log: (message) => send({ log: `${hook}: ${message}` })
})

const MAPS = ['dependencies', 'optionalDependencies', 'peerDependencies']

async function readPackage (manifest) {
  for (const { path, hooks } of files) {
    if (typeof hooks.readPackage !== 'function') continue
    for (const map of ['devDependencies', ...MAPS]) manifest[map] ??= {}
    let changed
    try {
      changed = await hooks.readPackage(manifest, context('readPackage'))
    } catch (error) {
      throw failed(path, error)
    }
    const refuse = (what) => {
      throw new Refusal('ERR_PNPM_BAD_READ_PACKAGE_HOOK_RESULT',
        `readPackage hook ${what} Hook imported via ${path}`)
    }
    if (!changed || typeof changed !== 'object' || Array.isArray(changed)) {
      refuse('did not return a package manifest object.')
    }
    for (const map of MAPS) {
      if (changed[map] && typeof changed[map] !== 'object') {
        refuse(`returned package manifest object's property '${map}' must be an object.`)
      }
    }
    manifest = changed
  }
  return manifest
}

const lines = createInterface({ input: process.stdin, crlfDelay: Infinity })
let before = Promise.resolve()
lines.on('line', (line) => {
  const request = JSON.parse(line)
  before = before.then(() => requests[request.request](request)).then(
    (result) => send({ result }),
    (error) => send({
      error: { code: error.code ?? 'ERR_PNPM_PNPMFILE_FAIL', message: error.message ?? String(error) }
    })
  )
})
lines.on('close', () => before.finally(() => process.exit(0)))
