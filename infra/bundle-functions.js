/**
 * The plugin by which serverless.yml packages the functions: tsdown makes one module of each, with everything it imports
 * and nothing that was compiled for a machine; that module alone goes into the function's archive.
 *
 * osls' own way would list the whole project, node_modules and all, following links and descending into what is mounted
 * there. Nothing here or there needs the network.
 */

import { createWriteStream } from 'node:fs'
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'

/** The lock of file:// is the one native module in reach; it is loaded when a directory is used, which functions do not. */
const NATIVE = ['fs-native-extensions']
/** The same sources give the same archive, byte for byte, and a deployment leaves it alone. */
const MTIME = new Date('2000-01-01T00:00:00Z')

export default class BundleFunctions {
  /** `serverless` is the osls that packages, `options` what its command line says. */
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

/** Makes the archive of a function where osls would make it, and says so. */
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

/** The one module in `dir`, at the place that the handler names. */
async function archiveModule(dir, entry, archive) {
  const { default: yazl } = await import('yazl')
  const [module, ...more] = await readdir(dir)
  if (module === undefined || more.length > 0) throw new Error(`expected one module in ${dir}: ${[module, ...more]}`)
  const zip = new yazl.ZipFile()
  zip.addFile(join(dir, module), `${entry}.mjs`, { mtime: MTIME, mode: 0o100644 })
  zip.end()
  await pipeline(zip.outputStream, createWriteStream(archive))
}
