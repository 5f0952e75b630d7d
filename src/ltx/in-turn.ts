/**
 * Runs `work` on every item, no more than `atMost` at a time, in their order. Waits for what has begun, then throws the
 * first error there was; after one, nothing new begins.
 */
export async function inTurn<T>(
  items: readonly T[],
  atMost: number,
  work: (item: T, index: number) => Promise<void>,
): Promise<void> {
  let next = 0
  let failed = false
  const lane = async () => {
    while (next < items.length && !failed) {
      const index = next++
      try {
        await work(items[index]!, index)
      } catch (error) {
        failed = true
        throw error
      }
    }
  }
  const lanes = Array.from({ length: Math.min(atMost, items.length) }, lane)
  for (const result of await Promise.allSettled(lanes)) if (result.status === 'rejected') throw result.reason
}
