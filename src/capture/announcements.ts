/** What the local client says to the data plane, through the mount, so that it comes before what the client writes there. */

import { formatChecksum, formatTXID, parseChecksum, parseTXID } from '../ltx/format/types.ts'
import type { Expectation } from './expected.ts'

export type Announcement =
  /** The client begins with a database: what an earlier client announced will not come. */
  | { readonly op: 'take-up'; readonly database: string }
  /** Its next transaction. */
  | { readonly op: 'expect'; readonly database: string; readonly expectation: Expectation }
  /** That transaction changes no page: nothing is written for it. */
  | { readonly op: 'unchanged'; readonly database: string }
  /** The removal that follows is none of the database's history. */
  | { readonly op: 'discard'; readonly database: string }

interface ExpectationText {
  readonly txid: string
  readonly checksum: string
  readonly timestampMs: number
  readonly nodeId: string
  readonly replaces?: string
}

type Text =
  | { readonly op: 'expect'; readonly database: string; readonly expectation: ExpectationText }
  | Exclude<Announcement, { readonly op: 'expect' }>

/** Several at once, in order: one write on the mount. */
export function marshalAnnouncements(announcements: readonly Announcement[]): Uint8Array {
  return Buffer.from(JSON.stringify(announcements.map(toText)))
}

/** From the one process that is trusted: what it writes is what `marshalAnnouncements` gave it. */
export function unmarshalAnnouncements(bytes: Uint8Array): Announcement[] {
  const texts = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString()) as Text[]
  return texts.map(fromText)
}

function fromText(text: Text): Announcement {
  if (text.op !== 'expect') return text
  const { txid, checksum, timestampMs, nodeId, replaces } = text.expectation
  const expectation: Expectation = {
    position: { txid: parseTXID(txid), checksum: parseChecksum(checksum) },
    timestampMs,
    nodeId: BigInt(`0x${nodeId}`),
    ...(replaces !== undefined && { replaces: { preApplyChecksum: parseChecksum(replaces) } }),
  }
  return { op: 'expect', database: text.database, expectation }
}

function toText(announcement: Announcement): Text {
  if (announcement.op !== 'expect') return announcement
  const { position, timestampMs, nodeId, replaces } = announcement.expectation
  const expectation = {
    txid: formatTXID(position.txid),
    checksum: formatChecksum(position.checksum),
    timestampMs,
    nodeId: nodeId.toString(16),
    ...(replaces && { replaces: replaces.preApplyChecksum.toString(16).padStart(16, '0') }),
  }
  return { ...announcement, expectation }
}
