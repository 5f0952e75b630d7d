import type { ObjectStore } from '../../src/objectstore/objectstore.ts'

/** What another program, or another hand, that knows nothing of ltxd's rules does to an object. */
export type ObjectDamage = (store: ObjectStore, key: string, olderKey: string) => Promise<void>

export const PAGE = '<html><body>Log in to the network</body></html>'

/** Each damages the object in another way. `replaced by an older object` takes the bytes of `olderKey`. */
export const OBJECT_DAMAGES = {
  deleted: (store, key) => store.delete([key]),
  emptied: (store, key) => replaceObject(store, key, Buffer.alloc(0)),
  cut: async (store, key) => replaceObject(store, key, (await bytesOf(store, key)).subarray(0, -7)),
  'replaced by a page of HTML': (store, key) => replaceObject(store, key, Buffer.from(PAGE)),
  'replaced by a page of HTML of its size': async (store, key) =>
    replaceObject(store, key, Buffer.alloc((await bytesOf(store, key)).length, PAGE)),
  'replaced by an older object': async (store, key, olderKey) =>
    replaceObject(store, key, await bytesOf(store, olderKey)),
} as const satisfies Readonly<Record<string, ObjectDamage>>

/** Other bytes under the same key, and the same metadata. */
export async function replaceObject(store: ObjectStore, key: string, bytes: Uint8Array): Promise<void> {
  const head = await store.head(key)
  await store.put(key, bytes, { metadata: head?.metadata ?? {} })
}

async function bytesOf(store: ObjectStore, key: string): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of await store.get(key)) chunks.push(chunk)
  return Buffer.concat(chunks)
}
