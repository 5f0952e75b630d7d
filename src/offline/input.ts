/**
 * Opens what a person names to be read: a regular file, or a pipe that this process has got, as from `<(…)` in a shell.
 * Opening anything else may wait for ever, or do something.
 */

import fs from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { Socket } from 'node:net'
import { kindOf } from '../util/files-beneath.ts'

const { O_NOCTTY, O_NONBLOCK, O_RDONLY } = fs.constants
const FLAGS = O_RDONLY | O_NONBLOCK | O_NOCTTY
const CHUNK_BYTES = 256 * 1024

/** A system error, as those of the files that cannot be opened. */
export class NotFileError extends Error {
  readonly code = 'NOT_REGULAR'
  readonly syscall = 'open'

  constructor(found: fs.Stats) {
    super(`is ${kindOf(found)}`)
  }
}

/** Throws NotFileError, and system errors. */
export async function openRegular(path: string): Promise<FileHandle> {
  assertRegular(await fs.promises.stat(path))
  const handle = await open(path, FLAGS)
  try {
    // It may have become something else.
    assertRegular(await handle.stat())
    return handle
  } catch (error) {
    await handle.close()
    throw error
  }
}

/** The same, as a descriptor. */
export function openRegularSync(path: string): number {
  assertRegular(fs.statSync(path))
  const fd = fs.openSync(path, FLAGS)
  try {
    assertRegular(fs.fstatSync(fd))
    return fd
  } catch (error) {
    fs.closeSync(fd)
    throw error
  }
}

/** The bytes of a regular file, or of a pipe. Throws NotFileError, system errors, and the signal's reason. */
export async function* readInput(path: string, signal?: AbortSignal): AsyncGenerator<Uint8Array, void, void> {
  const found = await fs.promises.stat(path)
  const stream = found.isFIFO() && (await isOwnPipe(path)) ? openPipe(path, signal) : await openStream(path, signal)
  try {
    for await (const chunk of stream) yield chunk as Uint8Array
  } catch (error) {
    throw signal?.aborted === true ? signal.reason : error
  }
}

/** Whether a pipe is reached through a descriptor alone: no path names it. */
export async function isOwnPipe(path: string): Promise<boolean> {
  return fs.promises.realpath(path).then(
    () => false,
    () => true,
  )
}

async function openStream(path: string, signal?: AbortSignal): Promise<fs.ReadStream> {
  const handle = await openRegular(path)
  return handle.createReadStream({ highWaterMark: CHUNK_BYTES, ...(signal && { signal }) })
}

/** Reads when there is something: no thread waits in a read, which nothing could end. */
function openPipe(path: string, signal?: AbortSignal): Socket {
  const socket = new Socket({ fd: fs.openSync(path, FLAGS), readable: true, writable: false })
  signal?.addEventListener('abort', () => socket.destroy(new Error('interrupted')), { once: true })
  return socket
}

function assertRegular(found: fs.Stats): void {
  if (!found.isFile()) throw new NotFileError(found)
}
