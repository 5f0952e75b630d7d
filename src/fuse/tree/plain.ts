/** Files that are served without capture: every operation goes to the backing file unchanged. */

import fs from 'node:fs'
import type { Caller, FileContent, Volume } from '../content.ts'

export class PlainContent implements FileContent {
  readonly #fd: number

  constructor(fd: number) {
    this.#fd = fd
  }

  opened(flags: number): void {
    if ((flags & fs.constants.O_TRUNC) !== 0) fs.ftruncateSync(this.#fd, 0)
  }

  read(into: Uint8Array, at: number, length: number, position: number): number {
    let done = 0
    while (done < length) {
      const n = fs.readSync(this.#fd, into, at + done, length - done, position + done)
      if (n === 0) break
      done += n
    }
    return done
  }

  write(data: Uint8Array, position: number): void {
    let done = 0
    while (done < data.length) done += fs.writeSync(this.#fd, data, done, data.length - done, position + done)
  }

  truncate(sizeBytes: number): void {
    fs.ftruncateSync(this.#fd, sizeBytes)
  }

  sync(dataOnly: boolean): undefined {
    if (dataOnly) fs.fdatasyncSync(this.#fd)
    else fs.fsyncSync(this.#fd)
  }

  released(): void {
    // nothing was kept
  }
}

export class PlainVolume implements Volume {
  content(_path: string, fd: number): FileContent {
    return new PlainContent(fd)
  }

  unlink(_path: string, perform: () => void, _caller: Caller): void {
    perform()
  }

  rename(_from: string, _to: string, _isDirectory: boolean, perform: () => void, _caller: Caller): void {
    perform()
  }

  syncDirectory(_path: string, perform: () => void): void {
    perform()
  }
}
