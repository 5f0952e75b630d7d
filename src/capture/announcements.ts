/**
 * Messages of the local client to the data plane. They go through the mount, so that they arrive before the writes they
 * announce.
 */

import { formatChecksum, formatTXID, parseChecksum, parseTXID } from '../ltx/format/types.ts'
import type { DatabaseInodes } from '../sqlite/database-files.ts'
import type { Expectation } from './expected.ts'
import type { IndexedFrames } from './wal-watch.ts'

export type Announcement =
  /** The client starts working on a database: what an earlier client announced is void. */
  | { readonly op: 'reset'; readonly database: string }
  /** The client's next transaction. */
  | { readonly op: 'expect'; readonly database: string; readonly expectation: Expectation }
  /** The announced transaction changes no page, so no write follows. */
  | { readonly op: 'unchanged'; readonly database: string }
  /** The removal that follows is not a transaction of the database's history. */
  | { readonly op: 'discard'; readonly database: string }
  /** On a primary: the removals of -wal and -shm that follow are of these files only. */
  | { readonly op: 'remove'; readonly database: string; readonly inodes: DatabaseInodes }
  /** On a primary: what is committed by the wal-index of these files. */
  | {
      readonly op: 'indexed'
      readonly database: string
      readonly index: IndexedFrames
      readonly inodes: DatabaseInodes
    }

interface ExpectationText {
  readonly txid: string
  readonly checksum: string
  readonly commit: number
  readonly pageSize: number
  readonly timestampMs: number
  readonly nodeId: string
  readonly replaces?: string
}

type Text =
  | { readonly op: 'expect'; readonly database: string; readonly expectation: ExpectationText }
  | Exclude<Announcement, { readonly op: 'expect' }>

/** Encodes several announcements, in order, as one write on the mount. */
export function marshalAnnouncements(announcements: readonly Announcement[]): Uint8Array {
  return Buffer.from(JSON.stringify(announcements.map(marshal)))
}

/** Decodes what `marshalAnnouncements` made. Only the local client, a trusted process, may write here. */
export function unmarshalAnnouncements(bytes: Uint8Array): Announcement[] {
  const texts = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString()) as Text[]
  return texts.map(unmarshal)
}

/** The announcement with the inode numbers of the backing files, instead of those that the client sees on the mount. */
export function ofBacking(announcement: Announcement, inodes: { backing(shown: number): number }): Announcement {
  if (announcement.op !== 'remove' && announcement.op !== 'indexed') return announcement
  const { database, wal, shm } = announcement.inodes
  const backing = { database: inodes.backing(database), wal: inodes.backing(wal), shm: inodes.backing(shm) }
  return { ...announcement, inodes: backing }
}

function unmarshal(text: Text): Announcement {
  if (text.op !== 'expect') return text
  const { txid, checksum, commit, pageSize, timestampMs, nodeId, replaces } = text.expectation
  const expectation: Expectation = {
    position: { txid: parseTXID(txid), checksum: parseChecksum(checksum) },
    commit,
    pageSize,
    timestampMs,
    nodeId: BigInt(`0x${nodeId}`),
    ...(replaces !== undefined && { replaces: { preApplyChecksum: parseChecksum(replaces) } }),
  }
  return { op: 'expect', database: text.database, expectation }
}

function marshal(announcement: Announcement): Text {
  if (announcement.op !== 'expect') return announcement
  const { position, commit, pageSize, timestampMs, nodeId, replaces } = announcement.expectation
  const expectation = {
    txid: formatTXID(position.txid),
    checksum: formatChecksum(position.checksum),
    commit,
    pageSize,
    timestampMs,
    nodeId: nodeId.toString(16),
    ...(replaces && { replaces: replaces.preApplyChecksum.toString(16).padStart(16, '0') }),
  }
  return { ...announcement, expectation }
}
