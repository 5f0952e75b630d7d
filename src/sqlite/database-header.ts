/** The first 100 bytes of a SQLite database file. Source: https://sqlite.org/fileformat2.html section 1.3. */

export const DATABASE_HEADER_SIZE = 100

const MAGIC = 'SQLite format 3\0'
export const DATABASE_MAGIC_SIZE = MAGIC.length

const AT = {
  pageSize: 16,
  writeVersion: 18,
  readVersion: 19,
  payloadFractions: 21,
  changeCounter: 24,
  sizePages: 28,
  freelistTrunk: 32,
  freelistCount: 36,
  versionValidFor: 92,
} as const

export interface DatabaseHeader {
  readonly pageSize: number
  /** `wal` when bytes 18 and 19 are 2, whether or not a `-wal` file exists. */
  readonly journalMode: 'rollback' | 'wal'
  readonly changeCounter: number
  /** Size of the database in pages as written. It may be outdated: use `sizePages()`. */
  readonly writtenSizePages: number
  readonly versionValidFor: number
  readonly freelistTrunk: number
  readonly freelistCount: number
}

/** Whether `bytes` begin with the magic string of SQLite databases. */
export function hasDatabaseMagic(bytes: Uint8Array): boolean {
  for (let i = 0; i < MAGIC.length; i++) if (bytes[i] !== MAGIC.charCodeAt(i)) return false
  return true
}

/** Returns undefined when `bytes` are not the start of a SQLite database. */
export function parseDatabaseHeader(bytes: Uint8Array): DatabaseHeader | undefined {
  if (bytes.length < DATABASE_HEADER_SIZE || !hasDatabaseMagic(bytes)) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const written = view.getUint16(AT.pageSize)
  const pageSize = written === 1 ? 65536 : written
  if (pageSize < 512 || (pageSize & (pageSize - 1)) !== 0) return undefined
  const write = bytes[AT.writeVersion]
  const read = bytes[AT.readVersion]
  if (!isVersion(write) || !isVersion(read)) return undefined
  const [max, min, leaf] = bytes.subarray(AT.payloadFractions, AT.payloadFractions + 3)
  if (max !== 64 || min !== 32 || leaf !== 32) return undefined
  return {
    pageSize,
    journalMode: read === 2 ? 'wal' : 'rollback',
    changeCounter: view.getUint32(AT.changeCounter),
    writtenSizePages: view.getUint32(AT.sizePages),
    versionValidFor: view.getUint32(AT.versionValidFor),
    freelistTrunk: view.getUint32(AT.freelistTrunk),
    freelistCount: view.getUint32(AT.freelistCount),
  }
}

/**
 * The write and read versions of a file that begins as a SQLite database does, if SQLite does not know them: it writes
 * no file with a write version above 2, and opens none with a read version above 2. Other engines keep commits then
 * where SQLite never looks.
 */
export function foreignVersions(bytes: Uint8Array): readonly [write: number, read: number] | undefined {
  const [write, read] = [bytes[AT.writeVersion], bytes[AT.readVersion]]
  if (write === undefined || read === undefined || !hasDatabaseMagic(bytes)) return undefined
  return isVersion(write) && isVersion(read) ? undefined : [write, read]
}

/** The size of the database in pages: by the header if its field is current, otherwise by the file's length. */
export function sizePages(header: DatabaseHeader, fileSizeBytes: number): number {
  const current = header.writtenSizePages > 0 && header.changeCounter === header.versionValidFor
  return current ? header.writtenSizePages : Math.floor(fileSizeBytes / header.pageSize)
}

function isVersion(value: number | undefined): boolean {
  return value === 1 || value === 2
}
