/**
 * The inode numbers that applications see. SQLite tells by a file's number whether the file that it has open is still
 * the one of that name. So the same backing file must have another number on each mount: a connection from before a
 * restart then knows that its file has gone, and neither rolls back nor removes what is there now.
 */

/** How many generations there are. Numbers stay below 2^53, so that JavaScript programs see them exactly. */
export const GENERATIONS = 2 ** 20
const TWO_TO_32 = 2 ** 32
/** From here on are the numbers of files that have no backing file (tree/special-files.ts). They stay as they are. */
const SPECIAL = 2 ** 52
/** libfuse, as fuse-native calls it, takes 32 bits. */
const NARROW_SHIFT = 12

export interface Inodes {
  /** The number that applications see of a backing file with number `backing`. */
  shown(backing: number): number
  /** Of which file `shown` is the number. */
  backing(shown: number): number
}

/** `generation` is in [0, GENERATIONS), and another one for each mount of a data directory. */
export function wideInodes(generation: number): Inodes {
  const base = generation * TWO_TO_32
  return {
    shown: (backing) => (backing < SPECIAL ? base + backing : backing),
    backing: (shown) => (shown < SPECIAL ? shown - base : shown),
  }
}

/**
 * As `wideInodes`, in 32 bits. SQLite takes files with equal numbers for one, so where the backing file system has
 * wider numbers, one that is taken already is passed over.
 */
export function narrowInodes(generation: number): Inodes {
  const mask = generation << NARROW_SHIFT
  /** Backing numbers, by the number that is shown. */
  const owners = new Map<number, number>()
  return {
    shown(backing) {
      let shown = (backing ^ Math.floor(backing / TWO_TO_32) ^ mask) >>> 0
      for (;;) {
        // Zero is no number of a file.
        const owner = shown === 0 ? NaN : (owners.get(shown) ?? backing)
        if (owner === backing) break
        shown = (shown + 1) >>> 0
      }
      owners.set(shown, backing)
      return shown
    },
    backing: (shown) => owners.get(shown) ?? 0,
  }
}

/** Numbers as they are: for a mount of which no second one is made. */
export const BACKING_INODES: Inodes = { shown: (backing) => backing, backing: (shown) => shown }
