/** Tells encrypted bytes from others, by how often each value occurs. */

/** With fewer bytes the test would say little. It is the usual size of a page. */
export const RANDOM_SIZE = 4096
const VALUES = 256
/**
 * Of random bytes the sum is 255 on average, with a standard deviation of 22.6. Text, code, images and tables have
 * thousands. Compressed data may be below, but ends anywhere, and not with a page.
 */
const MAX_CHI_SQUARE = 400

/** Whether each value occurs about as often as the others (chi-square test). `bytes` has RANDOM_SIZE of them. */
export function looksRandom(bytes: Uint8Array): boolean {
  const counts = new Uint32Array(VALUES)
  for (const byte of bytes) counts[byte] = (counts[byte] ?? 0) + 1
  const expected = bytes.length / VALUES
  let sum = 0
  for (const count of counts) sum += (count - expected) ** 2 / expected
  return sum < MAX_CHI_SQUARE
}
