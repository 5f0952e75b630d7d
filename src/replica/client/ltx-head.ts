import fs from 'node:fs'
import { HEADER_SIZE } from '../../ltx/format/header.ts'

/** The header of an LTX file. */
export function headOf(path: string): Uint8Array {
  const head = new Uint8Array(HEADER_SIZE)
  const fd = fs.openSync(path, 'r')
  try {
    return head.subarray(0, fs.readSync(fd, head, 0, HEADER_SIZE, 0))
  } finally {
    fs.closeSync(fd)
  }
}
