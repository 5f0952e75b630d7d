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
  reserved: 72,
  versionValidFor: 92,
} as const

/**
 * How much of a database is encrypted. 'beyond-header': SQLCipher's cipher_plaintext_header_size leaves the header's
 * beginning readable. 'whole': nothing is, so the page size has to be known from elsewhere.
 */
export type Encryption = 'none' | 'beyond-header' | 'whole'

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
  readonly encryption: Encryption
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
  const isEncrypted = encryptionOf(bytes) !== 'none'
  return {
    pageSize,
    journalMode: read === 2 ? 'wal' : 'rollback',
    changeCounter: view.getUint32(AT.changeCounter),
    writtenSizePages: view.getUint32(AT.sizePages),
    // Only SQLite before 3.7.0 leaves the size outdated, and no encryption is as old.
    versionValidFor: view.getUint32(isEncrypted ? AT.changeCounter : AT.versionValidFor),
    freelistTrunk: isEncrypted ? 0 : view.getUint32(AT.freelistTrunk),
    freelistCount: isEncrypted ? 0 : view.getUint32(AT.freelistCount),
    encryption: isEncrypted ? 'beyond-header' : 'none',
  }
}

/** By the first page. SQLite keeps the reserved bytes of a header zero; encrypted they are not. */
export function encryptionOf(page: Uint8Array): Encryption {
  if (!hasDatabaseMagic(page)) return 'whole'
  for (let at: number = AT.reserved; at < AT.versionValidFor; at++) if (page[at] !== 0) return 'beyond-header'
  return 'none'
}

/** The mode that a first page says. An encrypted one says none, and is followed in WAL mode. */
export function journalModeOf(page: Uint8Array): 'rollback' | 'wal' {
  return parseDatabaseHeader(page)?.journalMode ?? 'wal'
}

/**
 * Whether a file that begins with these bytes can be an encrypted database: it has content, and no SQLite header, nor a
 * part of one that is just being written.
 */
export function isUnreadable(beginning: Uint8Array): boolean {
  const magic = beginning.subarray(0, DATABASE_MAGIC_SIZE)
  return magic.length === DATABASE_MAGIC_SIZE && magic.some((byte, i) => byte !== 0 && byte !== MAGIC.charCodeAt(i))
}

/** The header of a database whose first page is encrypted. It is followed in WAL mode only. */
export function encryptedHeader(pageSize: number): DatabaseHeader {
  return {
    pageSize,
    journalMode: 'wal',
    changeCounter: 0,
    writtenSizePages: 0,
    versionValidFor: 0,
    freelistTrunk: 0,
    freelistCount: 0,
    encryption: 'whole',
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
