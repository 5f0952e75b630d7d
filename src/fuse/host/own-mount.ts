/** A mount of this process's, by its numbers and its place: it is unmounted there, and nothing else is. */

import fs from 'node:fs'
import type { Device } from '../device.ts'
import { MountError } from './mount-error.ts'
import { type MountPlace, placeOf } from './mount-place.ts'
import { MOUNT_TYPE } from './mount-point.ts'
import { type MountEntry, readMounts } from './mountinfo.ts'

/** Older kernels may omit a line of mountinfo while other file systems are mounted or unmounted. */
const READS = 5

export class OwnMount {
  readonly entry: MountEntry
  readonly place: MountPlace

  constructor(entry: MountEntry, place: MountPlace) {
    this.entry = entry
    this.place = place
  }

  /** The mount that this process has just made at a directory, an O_PATH descriptor. Throws MountError. */
  static at(directory: number, fsname: string): OwnMount {
    const place = placeOf(directory)
    for (let i = 0; i < READS; i++) {
      const entry = place.mounted
      if (entry?.type === MOUNT_TYPE && entry.source === fsname) return new OwnMount(entry, place)
    }
    const { path } = place
    place.close()
    throw new MountError('MOUNT_FAILED', `nothing is mounted at ${path}: a directory above it was exchanged meanwhile`)
  }

  /** Whether the mount still has a place. It may have moved, with a directory above it. */
  isThere(mounts: readonly MountEntry[] = readMounts()): boolean {
    return mounts.some(({ id, device }) => id === this.entry.id && device === this.entry.device)
  }

  /** What somebody else has mounted over it. */
  get covering(): MountEntry | undefined {
    const top = this.place.mounted
    return top === undefined || top.id === this.entry.id ? undefined : top
  }
}

export interface MountedDevice extends Device {
  /** Absent in tests that mount nothing. */
  readonly at?: OwnMount | undefined
}

export interface Mounted extends MountedDevice {
  readonly at: OwnMount
  /** Where another process serves it: how that ended, if not as it should. */
  readonly end?: string | undefined
  /** Ends the mount's life, if it still has one. */
  close(): Promise<void>
}

/** A mount whose device this process has open. */
export function mountedAs(device: number, at: OwnMount): Mounted {
  return {
    device,
    at,
    close() {
      fs.closeSync(device)
      at.place.close()
      return Promise.resolve()
    },
  }
}
