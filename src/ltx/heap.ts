/** Numbers, the smallest first. */
export class MinHeap {
  readonly #items: number[] = []

  get size(): number {
    return this.#items.length
  }

  /** The smallest; undefined if there is none. */
  peek(): number | undefined {
    return this.#items[0]
  }

  push(item: number): void {
    const items = this.#items
    let at = items.length
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (items[parent]! <= item) break
      items[at] = items[parent]!
      at = parent
    }
    items[at] = item
  }

  /** Takes the smallest out. The heap must not be empty. */
  pop(): number {
    const items = this.#items
    const smallest = items[0]!
    const last = items.pop()!
    const size = items.length
    if (size === 0) return smallest
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= size) break
      if (child + 1 < size && items[child + 1]! < items[child]!) child++
      if (items[child]! >= last) break
      items[at] = items[child]!
      at = child
    }
    items[at] = last
    return smallest
  }
}
