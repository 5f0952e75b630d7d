import type { Files } from '../util/files.ts'

/** The first bytes of a file as they will be once `data` is written at `position`. They may arrive in many writes. */
export function beginningAfter(
  files: Files,
  fd: number,
  data: Uint8Array,
  position: number,
  length: number,
): Uint8Array {
  if (position === 0 && data.length >= length) return data
  const bytes = new Uint8Array(length)
  files.read(fd, bytes, 0, length, 0)
  if (position < length) bytes.set(data.subarray(0, length - position), position)
  return bytes
}
