/**
 * The plugin with which serverless.yml packages the functions. tsdown bundles each function into one module with all
 * its imports and no native code. Only that module goes into the function's archive.
 *
 * By default osls would list the whole project with node_modules, follow links, and descend into mounts. Packaging
 * needs no network.
 */

import { createWriteStream } from 'node:fs'
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'

/** The only native module among the imports. It locks a directory of file://, which functions do not use. */
const NATIVE = ['fs-native-extensions']
/** A fixed time, so that the same sources yield the same archive, and a deployment does not upload it again. */
const MTIME = new Date('2000-01-01T00:00:00Z')

export default class BundleFunctions {
  /** `serverless` is the running osls, `options` are those of its command line. */
  constructor(serverless, options) {
    const archives = async (names) => {
      for (const name of names) await archiveFunction(serverless, name)
    }
    this.hooks = {
      'before:package:createDeploymentArtifacts': () => archives(serverless.service.getAllFunctions()),
      'before:package:function:package': () => archives([options.function]),
    }
  }
}

/** Makes the archive of a function in osls's place, and tells osls its path. */
async function archiveFunction(serverless, name) {
  const fn = serverless.service.getFunction(name)
  // workers/lambda/compact.handler is what workers/lambda/compact.ts exports as handler.
  const entry = fn.handler.replace(/\.[^./]+$/, '')
  const place = join(serverless.serviceDir, '.serverless')
  const archive = join(place, `${name}.zip`)
  const dir = await mkdtemp(join(tmpdir(), 'ltxd-function-'))
  try {
    await bundleModule(serverless.serviceDir, `${entry}.ts`, dir)
    await mkdir(place, { recursive: true })
    await archiveModule(dir, entry, archive)
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
  fn.package = { ...fn.package, artifact: archive }
}

async function bundleModule(root, entry, outDir) {
  const { build } = await import('tsdown')
  await build({
    config: false,
    cwd: root,
    entry: [entry],
    outDir,
    clean: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    outExtensions: () => ({ js: '.mjs' }),
    dts: false,
    logLevel: 'warn',
    deps: { alwaysBundle: (id) => !NATIVE.includes(id), neverBundle: NATIVE, onlyBundle: false },
    outputOptions: { codeSplitting: false },
  })
}

/** Checks that `dir` has one module, at the path of the handler. */
async function archiveModule(dir, entry, archive) {
  const { default: yazl } = await import('yazl')
  const [module, ...more] = await readdir(dir)
  if (module === undefined || more.length > 0) throw new Error(`expected one module in ${dir}: ${[module, ...more]}`)
  const zip = new yazl.ZipFile()
  zip.addFile(join(dir, module), `${entry}.mjs`, { mtime: MTIME, mode: 0o100644 })
  zip.end()
  await pipeline(zip.outputStream, createWriteStream(archive))
}
