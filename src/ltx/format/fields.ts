/** The fields of header and trailer, and descriptions of their values. Source: superfly/ltx 0.5.3, ltx.go. */
import { NO_CHECKSUM } from './header.ts'

export interface Field {
  readonly name: string
  readonly at: number
  readonly sizeBytes: number
  readonly describe: (view: DataView, at: number) => string
}

export const HEADER_FIELDS: readonly Field[] = [
  { name: 'magic', at: 0, sizeBytes: 4, describe: () => '"LTX1"' },
  { name: 'flags', at: 4, sizeBytes: 4, describe: flags },
  { name: 'page size', at: 8, sizeBytes: 4, describe: (view, at) => `${view.getUint32(at)} bytes` },
  { name: 'commit', at: 12, sizeBytes: 4, describe: commit },
  { name: 'minimum TXID', at: 16, sizeBytes: 8, describe: txid },
  { name: 'maximum TXID', at: 24, sizeBytes: 8, describe: txid },
  { name: 'timestamp', at: 32, sizeBytes: 8, describe: time },
  { name: 'pre-apply checksum', at: 40, sizeBytes: 8, describe: checksum },
  { name: 'WAL offset', at: 48, sizeBytes: 8, describe: (view, at) => `byte ${view.getBigUint64(at)}` },
  { name: 'WAL size', at: 56, sizeBytes: 8, describe: (view, at) => `${view.getBigUint64(at)} bytes` },
  { name: 'WAL salt 1', at: 64, sizeBytes: 4, describe: (view, at) => `${view.getUint32(at)}` },
  { name: 'WAL salt 2', at: 68, sizeBytes: 4, describe: (view, at) => `${view.getUint32(at)}` },
  { name: 'node id', at: 72, sizeBytes: 8, describe: (view, at) => hex(view.getBigUint64(at)) },
  { name: 'reserved bytes', at: 80, sizeBytes: 20, describe: () => 'not used' },
]

export const TRAILER_FIELDS: readonly Field[] = [
  { name: 'post-apply checksum', at: 0, sizeBytes: 8, describe: checksum },
  { name: 'file checksum', at: 8, sizeBytes: 8, describe: checksum },
]

function flags(view: DataView, at: number): string {
  const value = view.getUint32(at)
  return `0x${value.toString(16)}: ${(value & NO_CHECKSUM) === 0 ? 'with' : 'without'} database checksums`
}

function commit(view: DataView, at: number): string {
  const pages = view.getUint32(at)
  return pages === 0 ? '0: the database is dropped' : `${pages} pages in the database afterwards`
}

function txid(view: DataView, at: number): string {
  const value = view.getBigUint64(at)
  return `${hex(value)} (${value})`
}

function time(view: DataView, at: number): string {
  const ms = view.getBigInt64(at)
  const date = new Date(Number(ms))
  return Number.isNaN(date.getTime()) ? `${ms} ms` : `${date.toISOString()} (${ms} ms)`
}

function checksum(view: DataView, at: number): string {
  const value = view.getBigUint64(at)
  return value === 0n ? 'none' : hex(value)
}

function hex(value: bigint): string {
  return value.toString(16).padStart(16, '0')
}
