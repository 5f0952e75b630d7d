/** `api.json` in the data directory of a running node: the address of its API. It exists only while the node runs. */

import fs from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { errorCode, LtxdError } from '../util/errors.ts'
import { type Files, nodeFiles, withFile } from '../util/files.ts'
import { filesBeneath } from '../util/files-beneath.ts'
import { isOurs } from '../util/owner.ts'
import { parseState, writeState } from '../util/state-file.ts'

const ADDRESS_FILE = 'api.json'

/** An address file is much smaller. */
const MAX_BYTES = 4096

const addressSchema = z.strictObject({ url: z.url(), pid: z.int().positive() })
const ADDRESS = { format: 1, schema: addressSchema }

export type ApiAddress = Readonly<z.infer<typeof addressSchema>>

export function writeAddress(files: Files, dataDir: string, address: ApiAddress): void {
  writeState(files, join(dataDir, ADDRESS_FILE), ADDRESS.format, address)
}

export function removeAddress(files: Files, dataDir: string): void {
  files.remove(join(dataDir, ADDRESS_FILE))
}

/**
 * Undefined when there is no such file. Unless the operator names the directory, another user may have made it: then
 * the file must be of this user or root. Throws LtxdError, NotRegularError, LinkedNameError.
 */
export function readAddress(dataDir: string, isNamed = false): ApiAddress | undefined {
  const path = join(dataDir, ADDRESS_FILE)
  const text = readBounded(dataDir, path, isNamed)
  if (text === undefined) return undefined
  try {
    return parseState(path, text, ADDRESS)
  } catch (error) {
    const message = `${path} is not an address file of a node: name the node's address with --http instead`
    throw new LtxdError('API_ADDRESS_INVALID', message, 1, { cause: error })
  }
}

function readBounded(dataDir: string, path: string, isNamed: boolean): string | undefined {
  try {
    return withFile(filesBeneath(dataDir), path, fs.constants.O_RDONLY, (fd) => {
      const { uid } = fs.fstatSync(fd)
      if (!isNamed && !isOurs(uid)) {
        const message = `${path} belongs to user ${uid}: name the node's data directory with --data, if it is that one`
        throw new LtxdError('API_ADDRESS_FOREIGN', message)
      }
      const bytes = new Uint8Array(MAX_BYTES)
      return Buffer.from(bytes.buffer, 0, nodeFiles.read(fd, bytes, 0, MAX_BYTES, 0)).toString('utf8')
    })
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return undefined
    throw error
  }
}
