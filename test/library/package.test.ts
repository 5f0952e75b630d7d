/** The package as `npm pack` makes it: its files, its types, and the examples in its documentation. */
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import ts from 'typescript'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runLimited } from '../harness/limited.ts'
import { LTXD_CLI } from '../harness/ltxd-node.ts'
import { FileServer } from './file-server.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const LIMIT_MS = 60_000

let dir: string
/** The directory of a project that has installed only the package. */
let project: string
let installed: string

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'ltxd-package-'))
  project = join(dir, 'project')
  installed = join(project, 'node_modules', 'ltxd')
  await mkdir(installed, { recursive: true })
  const packed = join(dir, 'packed')
  const documents = [
    'ARCHITECTURE.md',
    'CHANGELOG.md',
    'CONTRIBUTING.md',
    'LICENSE',
    'README.md',
    'SECURITY.md',
    'docs',
  ]
  for (const name of ['package.json', ...documents]) {
    await cp(join(ROOT, name), join(packed, name), { recursive: true })
  }
  await cp(dirname(LTXD_CLI), join(packed, 'dist'), { recursive: true })
  await run(packed, 'npm', 'pack', '--silent', '--ignore-scripts', '--pack-destination', dir)
  const { version } = JSON.parse(await readFile(join(packed, 'package.json'), 'utf8')) as { version: string }
  await run(dir, 'tar', '-xzf', `ltxd-${version}.tgz`, '-C', installed, '--strip-components=1')
  await writeFile(join(project, 'package.json'), '{ "type": "module" }')
})

afterAll(() => rm(dir, { recursive: true, force: true }))

function run(cwd: string, file: string, ...args: string[]): Promise<string> {
  const env = { ...process.env, HOME: dir, npm_config_cache: join(dir, 'npm') }
  return runLimited(LIMIT_MS, file, args, { cwd, env })
}

test('every relative link in its documents leads to a file in the package', async () => {
  const names = await readdir(installed, { recursive: true })
  const documents = names.filter((name) => name.endsWith('.md'))
  expect(documents).toEqual(expect.arrayContaining(['README.md', 'CHANGELOG.md', 'docs/ltx.md', 'docs/limits.md']))
  const dead: string[] = []
  for (const document of documents) {
    const text = await readFile(join(installed, document), 'utf8')
    for (const [, target = ''] of text.replaceAll(/^```[^]*?^```/gm, '').matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^(https?:|#)/.test(target)) continue
      const path = join(dirname(document), decodeURI(target.split('#')[0] ?? ''))
      if (!names.includes(path)) dead.push(`${document} links to ${target}`)
    }
  }
  expect(dead, 'name what is not in the package as code, or by its address on the web').toEqual([])
})

test('contains no source maps, and every file that its package.json names', async () => {
  const names = await readdir(installed, { recursive: true })
  expect(names.filter((name) => name.endsWith('.map'))).toEqual([])
  const manifest = await readFile(join(installed, 'package.json'), 'utf8')
  const { main, types, exports, bin } = JSON.parse(manifest) as Record<string, unknown>
  const named = [...JSON.stringify([main, types, exports, bin]).matchAll(/"(?:\.\/)?((?:dist\/)[^"]+)"/g)]
  expect(named.length).toBeGreaterThan(6)
  expect(names).toEqual(expect.arrayContaining(named.map(([, path]) => path)))
})

describe('an import of ltxd/ltx', () => {
  /** The module and all its imports, by path. */
  async function sources(): Promise<Map<string, ts.SourceFile>> {
    const found = new Map<string, ts.SourceFile>()
    const open = [join(installed, 'dist', 'ltx.js')]
    for (let path = open.pop(); path !== undefined; path = open.pop()) {
      if (found.has(path)) continue
      const text = await readFile(path, 'utf8')
      found.set(path, ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true))
      for (const { fileName } of ts.preProcessFile(text, true, true).importedFiles) {
        expect(fileName, `imported by ${path}`).toMatch(/^\.\/[\w-]+\.js$/)
        open.push(join(dirname(path), fileName))
      }
    }
    return found
  }

  test('loads only the package itself, and uses no API that only Node.js has', async () => {
    const files = await sources()
    expect(files.size).toBeGreaterThan(3)
    const nodes = new Set(['Buffer', 'process', 'require', 'global', 'setImmediate', '__dirname', '__filename'])
    for (const [path, source] of files) {
      const visit = (node: ts.Node): void => {
        const property =
          ts.isPropertyAccessExpression(node.parent ?? node) &&
          (node.parent as ts.PropertyAccessExpression).name === node
        if (ts.isIdentifier(node) && !property) expect(nodes.has(node.text), `${node.text} in ${path}`).toBe(false)
        ts.forEachChild(node, visit)
      }
      visit(source)
    }
  })
})

describe('the types', () => {
  const CONSUMER = `
    import { chunksOf, compact, decode, decodeStream, encode, encodeStream, LTXError, makeHeader, PageReader, toTXID, verify } from 'ltxd/ltx'
    import { blobRanges, fetchRanges, type ByteRanges, type Checksum, type Header, type PageIndex, type Pgno, type TXID } from 'ltxd/ltx'
    const header: Header = makeHeader({ pageSize: 4096, commit: 1, minTXID: toTXID(1) })
    const bytes: Uint8Array = encode(header, new Map<Pgno, Uint8Array>([[1, new Uint8Array(4096)]]))
    const pages: Map<number, Uint8Array> = decode(bytes).pages
    const txid: TXID = header.maxTXID
    export async function use(): Promise<[Header, Uint8Array | undefined, Checksum | 0n]> {
      const stream = decodeStream([bytes])
      for await (const chunk of encodeStream(header, stream)) chunk.subarray(1)
      const compaction = compact([{ name: 'a', open: () => chunksOf(bytes) }])
      for await (const chunk of compaction) chunk.subarray(1)
      const ranges: ByteRanges = await fetchRanges('http://localhost/', { headers: { a: 'b' } })
      const reader = await PageReader.open(ranges)
      const index: PageIndex = reader.index
      return [await stream.header(), await reader.page(index.count), (await verify(bytes)).trailer.postApplyChecksum]
    }
    export function place(error: unknown): string {
      return error instanceof LTXError ? \`\${error.code} \${error.field ?? ''} \${error.offset ?? 0} \${error.file ?? ''}\` : ''
    }
    // @ts-expect-error a TXID is not just any bigint
    export const wrong: TXID = 1n
    // @ts-expect-error the class has no public constructor
    export const none = new (await import('ltxd/ltx')).PageIndex()
    export { blobRanges, pages, txid }
  `
  const BROWSER = `
    import { blobRanges, chunksOf, decodeStream, fetchRanges, verify } from 'ltxd/ltx'
    export async function use(file: File, response: Response) {
      await verify(file)
      await verify(response.body!)
      chunksOf(file.stream())
      decodeStream(response.body!)
      blobRanges(file)
      await fetchRanges(new URL('http://localhost/').href, { fetch })
    }
  `
  const NODE = `
    import { createReadStream } from 'node:fs'
    import { open } from 'node:fs/promises'
    import { decodeStream, compact, fetchRanges, fileRanges, verify } from 'ltxd/ltx'
    export async function use() {
      await verify(createReadStream('a'))
      await verify(new Blob(['a']))
      await verify((await fetch('http://localhost/')).body!)
      decodeStream(createReadStream('a'))
      compact([{ open: () => createReadStream('a') }])
      await fileRanges(await open('a'))
      await fetchRanges(new URL('http://localhost/'), { fetch })
    }
  `
  const ROOT_ENTRY = `
    import { LtxdError, restore, startNode, VERSION, type Node, type NodeStatus, type Restored } from 'ltxd'
    export async function use(signal: AbortSignal): Promise<string> {
      const node: Node = await startNode({ mount: './mnt', backup: 'file:///backup', logLevel: 'info', signal })
      const status: NodeStatus = await node.status()
      await node.stop()
      const restored: Restored = await restore({ backup: 'file:///backup', database: 'app.db', output: 'a.db', timestamp: new Date() })
      return \`\${VERSION} \${status.role} \${restored.txid}\`
    }
    export const code = (error: unknown) => (error instanceof LtxdError ? error.code : undefined)
    // @ts-expect-error a node needs a mount point
    export const wrong = () => startNode({ backup: 'file:///backup' })
  `
  const strict = { strict: true, exactOptionalPropertyTypes: true, skipLibCheck: false, noEmit: true, target: 'es2022' }
  const nodenext = { module: 'nodenext', moduleResolution: 'nodenext' }
  const bundler = { module: 'esnext', moduleResolution: 'bundler' }

  test.each([
    ['nodenext, for a browser', BROWSER, { ...nodenext, lib: ['es2022', 'dom'], types: [] }],
    ['bundler, for a browser', BROWSER, { ...bundler, lib: ['es2022', 'dom'], types: [] }],
    ['nodenext, what starts a node', ROOT_ENTRY, { ...nodenext, lib: ['es2023'], types: ['node'] }],
    ['nodenext, for Node', NODE, { ...nodenext, lib: ['es2023'], types: ['node'] }],
    ['bundler, for Node', NODE, { ...bundler, lib: ['es2023'], types: ['node'] }],
  ])('are right: %s', async (_, runtime, options) => {
    await writeFile(join(project, 'consumer.ts'), CONSUMER)
    await writeFile(join(project, 'runtime.ts'), runtime)
    const typeRoots = [join(ROOT, 'node_modules', '@types')]
    // Do not check the types of Node.js.
    const skipLibCheck = options.types.length > 0
    const compilerOptions = { ...strict, ...options, typeRoots, skipLibCheck }
    await writeFile(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['*.ts'] }))
    const tsc = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc')
    expect(await run(project, process.execPath, tsc)).toBe('')
  })

  test('are all documented, and expose nothing internal', async () => {
    const path = join(installed, 'dist', 'ltx.d.ts')
    const program = ts.createProgram([path], { target: ts.ScriptTarget.ES2022 })
    const checker = program.getTypeChecker()
    const exported = checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(path)!)!)
    const names = exported.map(({ name }) => name)
    expect(names).toEqual(expect.arrayContaining(['Checksum', 'Decoder', 'decodeStream', 'LTXError', 'PageReader']))
    const original = (symbol: ts.Symbol) =>
      (symbol.flags & ts.SymbolFlags.Alias) === 0 ? symbol : checker.getAliasedSymbol(symbol)
    const silent = exported.filter((symbol) => original(symbol).getDocumentationComment(checker).length === 0)
    expect(silent.map(({ name }) => name)).toEqual([])

    // The parts of exported types must be exported too, so that programs can name them.
    const text = await readFile(path, 'utf8')
    const declared = [...text.matchAll(/^(?:declare )?(?:class|interface|type) (\w+)/gm)].map(([, name]) => name)
    expect(declared.filter((name) => !names.includes(name!))).toEqual([])
  })
})

describe('the examples of docs/ltx.md', () => {
  interface Example {
    readonly title: string
    readonly code: string
    readonly prints: string
  }

  test('run one after the other, and print the documented output', async () => {
    const text = await readFile(join(installed, 'docs', 'ltx.md'), 'utf8')
    const pattern = /^### (.+)\n(?:(?!^#).*\n)*?```js\n([^]*?)^```\n\n```text\n([^]*?)^```\n/gm
    const examples = [...text.matchAll(pattern)].map(([, title, code, prints]) => ({ title, code, prints }) as Example)
    expect(examples).toHaveLength(text.split('```text').length - 1)
    expect(examples).toHaveLength(5)
    await using server = new FileServer({ folder: project }, {})
    const base = `${await server.start()}folder/`
    for (const [index, { title, code, prints }] of examples.entries()) {
      const path = join(project, `example-${index}.js`)
      await writeFile(path, code.replaceAll('https://example.com/', base))
      expect(await run(project, process.execPath, path), title).toBe(prints)
    }
  })
})
