import { expect, test } from 'vitest'
import { MemoryStore } from '../src/objectstore/stores/memory.ts'
import { StoreShelf } from './store-shelf.ts'

function shelf() {
  const opened: string[] = []
  const closed: string[] = []
  const open = (url: string) => {
    opened.push(url)
    const store = new MemoryStore()
    store.close = async () => void closed.push(url)
    return store
  }
  return { opened, closed, shelf: new StoreShelf(open) }
}

const { signal } = new AbortController()

test('a store is opened once for all its users, and stays open after them', async () => {
  const { opened, closed, shelf: stores } = shelf()
  const [one, other] = [stores.borrow(signal), stores.borrow(signal)]
  await one.open('a').put('key', Buffer.from('x'))
  expect(await other.open('a').head('key')).toBeDefined()
  await one.release()
  await other.release()
  expect(await stores.borrow(signal).open('a').head('key')).toBeDefined()
  expect(opened).toEqual(['a'])
  expect(closed).toEqual([])
  await stores.close()
  expect(closed).toEqual(['a'])
})

test('the least recently used idle stores are closed; a store in use never is', async () => {
  const { closed, shelf: stores } = shelf()
  const user = stores.borrow(signal)
  user.open('used')
  for (let i = 0; i < 20; i++) {
    const short = stores.borrow(signal)
    short.open(`${i}`)
    await short.release()
  }
  expect(closed).toEqual(['0', '1', '2', '3'])
  await user.release()
  expect(closed).toEqual(['0', '1', '2', '3', '4'])
})

test('a borrowed store ends with the signal', async () => {
  const control = new AbortController()
  const store = shelf().shelf.borrow(control.signal).open('a')
  control.abort(new Error('enough'))
  await expect(store.head('key')).rejects.toThrow('enough')
})
