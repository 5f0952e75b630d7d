/** Compiles assembly/ and writes module.ts: `npm run kernels`. A test compiles again and compares. */
import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import asc from 'assemblyscript/asc'

/** No run time, no allocator, fixed memory: four pages, as assembly/layout.ts divides them. */
const OPTIONS = [
  'index.ts',
  ...['--outFile', 'kernels.wasm', '--runtime', 'stub', '--noAssert', '--enable', 'simd'],
  ...['-O3', '--converge', '--initialMemory', '4', '--maximumMemory', '4'],
]

const sources = new URL('./assembly/', import.meta.url)

/** The text of module.ts. */
export async function buildKernels(): Promise<string> {
  let wasm: Uint8Array | undefined
  const stderr = asc.createMemoryStream()
  const { error } = await asc.main(OPTIONS, {
    readFile: async (name) => readFile(new URL(name, sources), 'utf8').catch(() => null),
    writeFile: async (_name, contents) => {
      wasm = contents as Uint8Array
    },
    listFiles: async () => [],
    stderr,
  })
  if (error !== null || wasm === undefined)
    throw new Error(`the kernels do not compile: ${stderr.toString()}`, { cause: error })
  const base64 = Buffer.from(wasm).toString('base64')
  const origin = 'compiled from assembly/ by `npm run kernels`. Not to be edited.'
  const comment = `/** ${wasm.length} bytes of WebAssembly, ${origin} */`
  return `${comment}\nexport const KERNELS_BASE64 =\n  '${base64}'\n`
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await writeFile(new URL('./module.ts', import.meta.url), await buildKernels())
}
