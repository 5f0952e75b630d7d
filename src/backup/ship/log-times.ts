import type { LogView } from '../../log/view.ts'
import { nextTXID, type TXID } from '../../ltx/format/types.ts'

/** When the oldest transaction after `uploaded` that the log holds was committed; undefined where there is none. */
export async function oldestPendingMs(log: LogView, uploaded: TXID): Promise<number | undefined> {
  const first = await log.first()
  if (first === undefined || log.position().txid <= uploaded) return undefined
  const oldest = first > uploaded ? first : nextTXID(uploaded)
  for await (const { header } of log.records(oldest, oldest)) return header.timestampMs
  return undefined
}

/** When the database was dropped in a transaction; undefined where the log no longer holds it. */
export async function droppedAtMs(log: LogView, txid: TXID): Promise<number | undefined> {
  if (((await log.first()) ?? nextTXID(txid)) > txid) return undefined
  for await (const { header } of log.records(txid, txid)) return header.timestampMs
  return undefined
}
