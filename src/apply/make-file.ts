import fs from 'node:fs'
import { errorCode } from '../util/errors.ts'
import type { Files } from '../util/files.ts'
import { PRIVATE } from '../util/private-files.ts'
import { ApplyBlockedError } from './errors.ts'

const { O_CREAT, O_EXCL, O_RDWR } = fs.constants

export function removeRegular(files: Files, path: string): void {
  if (files.status(path)?.isFile() === true) files.remove(path)
}

/**
 * Opens a file, or makes one that nobody else has made. Throws ApplyBlockedError if another program makes it at this
 * moment.
 */
export function openOrMake(files: Files, path: string, flags: number): number {
  if (files.status(path) !== undefined) {
    try {
      return files.open(path, flags)
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw error
    }
  }
  return makeNew(files, path)
}

/** Throws ApplyBlockedError if the file exists. */
export function makeNew(files: Files, path: string): number {
  try {
    return files.open(path, O_RDWR | O_CREAT | O_EXCL, PRIVATE.file)
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error
    throw new ApplyBlockedError(path, 'another program makes it at this moment')
  }
}
