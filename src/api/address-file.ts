/** `api.json` in the data directory of a running node: the address of its API. It exists only while the node runs. */

import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { errorCode, LtxdError } from '../util/errors.ts'
import type { Files } from '../util/files.ts'
import { parseState, writeState } from '../util/state-file.ts'

const ADDRESS_FILE = 'api.json'

const addressSchema = z.strictObject({ url: z.url(), pid: z.int().positive() })
const ADDRESS = { format: 1, schema: addressSchema }

export type ApiAddress = Readonly<z.infer<typeof addressSchema>>

export function writeAddress(files: Files, dataDir: string, address: ApiAddress): void {
  writeState(files, join(dataDir, ADDRESS_FILE), ADDRESS.format, address)
}

export async function removeAddress(dataDir: string): Promise<void> {
  await rm(join(dataDir, ADDRESS_FILE), { force: true })
}

/** Undefined when there is no such file. */
export async function readAddress(dataDir: string): Promise<ApiAddress | undefined> {
  const path = join(dataDir, ADDRESS_FILE)
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return undefined
    throw error
  }
  try {
    return parseState(path, text, ADDRESS)
  } catch (error) {
    const message = `${path} is not an address file of a node: name the node's address with --http instead`
    throw new LtxdError('API_ADDRESS_INVALID', message, 1, { cause: error })
  }
}
