/** The file system that SQLite sees in a test: what its VFS asks for, and no more. Failures are thrown. */

export interface VfsFile {
  /** Fills `into` from `position`; returns how many bytes there were. */
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
}

export interface VfsFiles {
  open(path: string, mode: OpenMode): VfsFile
  unlink(path: string): void
  /** undefined: there is no such file. */
  sizeOf(path: string): number | undefined
  syncDirectory(path: string): void
}
