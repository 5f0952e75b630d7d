import { expect, test } from 'vitest'
import { type Admission, Room } from './room.ts'

const { signal } = new AbortController()
const turn = () => new Promise((resolve) => setImmediate(resolve))

/** Enters, and notes the name when admitted. */
function enter(room: Room, sizeBytes: number, name: string, entered: string[]): Promise<Admission> {
  return room.enter(sizeBytes, signal).then((admission) => {
    entered.push(name)
    return admission
  })
}

test('admits as many, and as many bytes, as the limits allow; the others enter in turn', async () => {
  const room = new Room({ count: 3, sizeBytes: 100 })
  const entered: string[] = []
  const a = enter(room, 60, 'a', entered)
  const b = enter(room, 50, 'b', entered)
  void enter(room, 10, 'c', entered)
  const d = enter(room, 10, 'd', entered)
  await turn()
  expect([entered, room.count, room.sizeBytes]).toEqual([['a'], 1, 60])
  const admission = await a
  admission.shrinkTo(30)
  await turn()
  expect([entered, room.count, room.sizeBytes]).toEqual([['a', 'b', 'c'], 3, 90])
  admission.leave()
  await turn()
  expect([entered, room.count, room.sizeBytes]).toEqual([['a', 'b', 'c', 'd'], 3, 70])
  for (const left of [await b, await d]) left.leave()
  expect([room.count, room.sizeBytes]).toEqual([1, 10])
})

test('admits one that is larger than the limit when it is alone', async () => {
  const room = new Room({ count: 3, sizeBytes: 100 })
  const entered: string[] = []
  const small = await enter(room, 1, 'small', entered)
  const large = enter(room, 1_000, 'large', entered)
  void enter(room, 1, 'next', entered)
  await turn()
  expect(entered).toEqual(['small'])
  small.leave()
  await turn()
  expect(entered).toEqual(['small', 'large'])
  const admission = await large
  admission.leave()
  await turn()
  expect(entered).toEqual(['small', 'large', 'next'])
})

test('one that no longer waits does not hold up those behind it', async () => {
  const room = new Room({ count: 2, sizeBytes: 100 })
  const entered: string[] = []
  await enter(room, 60, 'a', entered)
  const impatient = new AbortController()
  const waiting = room.enter(60, impatient.signal)
  void enter(room, 40, 'c', entered)
  impatient.abort(new Error('left'))
  await expect(waiting).rejects.toThrow('left')
  await turn()
  expect([entered, room.count, room.sizeBytes]).toEqual([['a', 'c'], 2, 100])
})
