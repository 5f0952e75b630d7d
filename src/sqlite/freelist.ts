/** The free-list of a database: trunk pages that name leaf pages. Source: fileformat2.html section 1.5. */

import { PageList } from './page-list.ts'
import { PageSet } from './page-set.ts'

/**
 * The leaves of the free-list. SQLite neither journals nor restores these pages, so their content is undefined after a
 * rollback. `readPage` returns a page by number. Ends at the first trunk page that is out of bounds or repeats.
 */
export function freelistLeaves(
  firstTrunk: number,
  sizePages: number,
  readPage: (pgno: number) => Uint8Array,
): PageList {
  const leaves = new PageList()
  const trunks = new PageSet()
  for (let trunk = firstTrunk; trunk > 0 && trunk <= sizePages && !trunks.has(trunk);) {
    trunks.add(trunk)
    const page = readPage(trunk)
    const view = new DataView(page.buffer, page.byteOffset, page.byteLength)
    const count = Math.min(view.getUint32(4), page.length / 4 - 2)
    for (let i = 0; i < count; i++) {
      const leaf = view.getUint32(8 + 4 * i)
      if (leaf > 0 && leaf <= sizePages) leaves.add(leaf)
    }
    trunk = view.getUint32(0)
  }
  return leaves
}
