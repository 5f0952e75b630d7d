import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { DirectoryListing } from './listing.ts'

const names = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 3 }), { maxLength: 30 })

describe('a directory listing', () => {
  it('returns each lasting name exactly once, while others come and go', () => {
    const property = fc.property(
      names,
      fc.array(names, { maxLength: 5 }),
      fc.integer({ min: 1, max: 7 }),
      (first, later, step) => {
        const listing = new DirectoryListing()
        listing.refresh(first)
        const staying = first.filter((name) => later.every((state) => state.includes(name)))
        const seen: string[] = []
        let cookie = 0
        for (const state of [...later, undefined]) {
          let taken = 0
          for (const [name, own] of listing.after(cookie)) {
            if (state !== undefined && taken++ === step) break
            seen.push(name)
            cookie = own
          }
          if (state !== undefined) listing.refresh(state)
        }
        for (const name of staying) expect(seen.filter((other) => other === name)).toEqual([name])
      },
    )
    fc.assert(property, { numRuns: 300, verbose: true })
  })

  it('never assigns one cookie to two names', () => {
    const listing = new DirectoryListing()
    const owners = new Map<number, string>()
    for (const state of [['a', 'b'], ['b'], ['b', 'a', 'c'], [], ['a', 'b', 'c']]) {
      listing.refresh(state)
      for (const [name, cookie] of listing.after(0))
        expect(owners.set(cookie, owners.get(cookie) ?? name).get(cookie)).toBe(name)
    }
  })
})
