import { describe, expect, it } from 'vitest'
import { dollars, HOURS_A_MONTH, kindOf, NO_REQUESTS, overhead, scaled } from './requests.ts'

describe('requests to a store', () => {
  it('are told apart as they are charged', () => {
    const file = '0000000000000001-0000000000000002.ltx'
    expect(kindOf('PUT', `/bucket/app.db/0000/${file}?x-id=PutObject`)).toBe('ship')
    expect(kindOf('PUT', `/bucket/app.db/0001/${file}`)).toBe('put')
    expect(kindOf('POST', `/bucket/app.db/0009/${file}?uploads`)).toBe('put')
    expect(kindOf('POST', '/bucket?delete')).toBe('delete')
    expect(kindOf('GET', '/bucket?list-type=2&prefix=app.db')).toBe('list')
    expect(kindOf('GET', `/bucket/app.db/0000/${file}`)).toBe('get')
    expect(kindOf('HEAD', `/bucket/app.db/0000/${file}`)).toBe('head')
  })

  it('cost 13 dollars a month where one ships each second', () => {
    const month = scaled({ ...NO_REQUESTS, ship: 3_600 }, HOURS_A_MONTH)
    expect(dollars(month)).toBeCloseTo(13.14)
    expect(overhead({ ...month, put: month.ship / 20 })).toBeCloseTo(0.05)
    expect(overhead(NO_REQUESTS)).toBeUndefined()
  })
})
