import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { removeFile, statFile } from '../../util/directories.ts'
import { create, PRIVATE } from '../../util/private-files.ts'
import { TEMPORARY_PREFIX } from './walk.ts'

/** What a file system gives a new file for its time: another machine may keep it. */
export async function clockOf(directory: string): Promise<number | undefined> {
  const path = join(directory, TEMPORARY_PREFIX + randomBytes(8).toString('hex'))
  try {
    await (await create(path, 'wx', PRIVATE.file)).close()
    return (await statFile(path))?.ctimeMs
  } finally {
    await removeFile(path)
  }
}
