/** The file system of SQLite in a test, with the operations that its VFS needs. Failures are thrown. */

export interface VfsFile {
  /** Reads into `into` from `position`, and returns the number of bytes read. */
  read(into: Uint8Array, position: number): number
  write(data: Uint8Array, position: number): void
  truncate(sizeBytes: number): void
  sync(): void
  size(): number
  close(): void
}

export interface OpenMode {
  readonly create: boolean
  readonly exclusive: boolean
  readonly readOnly: boolean
  /** Those of open(2), where `readOnly` does not say enough. */
  readonly flags?: number
}

export interface VfsFiles {
  open(path: string, mode: OpenMode): VfsFile
  unlink(path: string): void
  /** The size in bytes; undefined if there is no such file. */
  sizeOf(path: string): number | undefined
  syncDirectory(path: string): void
}
