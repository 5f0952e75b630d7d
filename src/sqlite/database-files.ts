/** The inode numbers of a database in WAL mode: which files of these names are meant. */
export interface DatabaseInodes {
  readonly database: number
  readonly wal: number
  readonly shm: number
}
