/** The commonest first: SQLCipher 4 and SQLite3MC have 4096, SQLCipher 3 has 1024. */
const PAGE_SIZES = [4096, 1024, 8192, 16384, 32768, 65536, 2048, 512]

/** The sizes that the pages of a file of this length can have, the likeliest first. */
export function pageSizesOf(sizeBytes: number): number[] {
  return PAGE_SIZES.filter((pageSize) => sizeBytes >= pageSize && sizeBytes % pageSize === 0)
}
