/** The built library in Node.js, Bun and Chromium: the same scenario must have the same outcome. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import ts from 'typescript'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findTool } from '../../infra/test-tools.ts'
import { encode } from '../../src/ltx/file.ts'
import { EMPTY_CHECKSUM } from '../../src/ltx/format/types.ts'
import type * as Library from '../../src/ltx/mod.ts'
import { header, pageOf } from '../../src/ltx/testing.ts'
import { runLimited } from '../harness/limited.ts'
import { LTXD_CLI } from '../harness/ltxd-node.ts'
import { within } from '../harness/wait.ts'
import { FileServer } from './file-server.ts'
import { runScenario, type Scenario } from './scenario.ts'

const BUILD = dirname(LTXD_CLI)
const ROOT = join(import.meta.dirname, '..', '..')
const GOLDEN = join(ROOT, 'test', 'golden')
const LIMIT_MS = 60_000

/** The package that contains the program. The package `bun` would only link to it. */
const BUN = join(
  ROOT,
  'node_modules',
  '@oven',
  `bun-linux-${process.arch === 'arm64' ? 'aarch64' : 'x64'}`,
  'bin',
  'bun',
)
const bun = existsSync(BUN) ? BUN : undefined
const chromium = findTool('chromium')
if (process.env.CI === 'true') {
  if (bun === undefined)
    throw new Error('bun is not installed: npm ci installs it, unless optional packages are left out')
  if (chromium === undefined) throw new Error('chromium is not installed')
}

const PAGE = `<!doctype html><script type="module">
  import * as library from '/build/ltx.js'
  import { runScenario } from '/scenario.js'
  const outcome = await runScenario(library, new URL('/', location.href).href).then(JSON.stringify, (error) => 'failed: ' + error.stack)
  await fetch('/outcome', { method: 'POST', body: outcome })
</script>`

let server: FileServer
let base: string
let dir: string
let expected: Scenario

beforeAll(async () => {
  const { outputText } = ts.transpileModule(await readFile(join(import.meta.dirname, 'scenario.ts'), 'utf8'), {
    compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext },
  })
  const pages = Array.from({ length: 12_000 }, (_, index) => [index + 1, pageOf(512, index)] as const)
  const large = encode(header({ commit: pages.length }), pages, EMPTY_CHECKSUM)
  const made = { 'page.html': PAGE, 'scenario.js': outputText, 'large.ltx': large }
  server = new FileServer({ build: BUILD, golden: GOLDEN }, made)
  base = await server.start()
  dir = await mkdtemp(join(tmpdir(), 'ltxd-library-'))
  await writeFile(join(dir, 'scenario.js'), outputText)
  const library = (await import(pathToFileURL(join(BUILD, 'ltx.js')).href)) as typeof Library
  expected = JSON.parse(JSON.stringify(await runScenario(library, base))) as Scenario
})

afterAll(async () => {
  await server[Symbol.asyncDispose]()
  await rm(dir, { recursive: true, force: true })
})

interface Golden {
  readonly file: string
  readonly pages: unknown
  readonly fileChecksum: string
  readonly compactedFrom?: string[]
}

describe('in Node', () => {
  test('the files of the reference decode to the pages that went into them', async () => {
    const manifest = JSON.parse(await readFile(join(GOLDEN, 'manifest.json'), 'utf8')) as Golden[]
    expect(Object.keys(expected.files)).toEqual(manifest.map(({ file }) => file))
    for (const { file, pages, fileChecksum } of manifest) {
      expect(expected.files[file], file).toMatchObject({ pages, trailer: { fileChecksum } })
    }
  })

  test('a page read by ranges needs one request more than opening the file', () => {
    expect(expected.pageByRanges['large.ltx']).toMatchObject({ pgno: 12_000, opening: 3, requests: 4 })
    expect(expected.pageByRanges['golden/block-4096-snapshot.ltx']).toMatchObject({ opening: 1, requests: 1 })
  })

  test('every damaged file is rejected with the offset of the damage', () => {
    for (const [at, error] of Object.entries(expected.refused)) {
      const place = { offset: expect.any(Number) as number, field: expect.any(String) as string }
      expect(error, `byte ${at}`).toMatchObject({ name: 'LTXError', code: 'LTX_INVALID', ...place })
    }
  })
})

describe.skipIf(bun === undefined)('in Bun', () => {
  test('the outcome is the same', async () => {
    const library = pathToFileURL(join(BUILD, 'ltx.js')).href
    const code = `import * as library from ${JSON.stringify(library)}
      import { runScenario } from ${JSON.stringify(join(dir, 'scenario.js'))}
      if (!process.versions.bun) throw new Error('this is not Bun')
      console.log(JSON.stringify(await runScenario(library, ${JSON.stringify(base)})))`
    await writeFile(join(dir, 'main.js'), code)
    const printed = await runLimited(LIMIT_MS, bun!, [join(dir, 'main.js')], { cwd: dir, env: process.env })
    expect(JSON.parse(printed)).toEqual(expected)
  })
})

describe.skipIf(chromium === undefined)('in Chromium', () => {
  test('the outcome is the same', async () => {
    const browser = startBrowser(chromium!, join(dir, 'profile'), `${base}page.html`)
    try {
      const outcome = await within('the page in the browser', LIMIT_MS, Promise.race([server.told, browser.ended]))
      expect(outcome).toMatch(/^\{/)
      expect(JSON.parse(outcome)).toEqual(expected)
    } finally {
      await browser.stop()
    }
  })
})

interface Browser {
  /** Rejects with the output if the browser ends by itself. */
  readonly ended: Promise<string>
  stop(): Promise<unknown>
}

/** Opens a page in a headless browser, which runs until it is stopped. */
function startBrowser(program: string, profile: string, url: string): Browser {
  // Without a sandbox, because root cannot have one; no page but our own is opened. The port keeps the browser from
  // ending.
  const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--remote-debugging-port=0']
  const child = spawn(program, [...flags, `--user-data-dir=${profile}`, url], {
    detached: true,
    env: { ...process.env, HOME: profile },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let printed = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (printed += text))
  const gone = once(child, 'close')
  const stop = async () => {
    // Kill it with the processes that it started.
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL')
    await gone
  }
  return { ended: gone.then(() => `the browser ended before its page did:\n${printed}`), stop }
}
