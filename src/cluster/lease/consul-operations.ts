/** The operations on the lease's key in Consul and on those below it, each list for one transaction. Pure. */

import type { ConsulItem, KvOperation } from './consul-client.ts'
import type { LeaseRecord } from './lease.ts'

/** What a write does with the record: makes it where there is none, replaces that of another holding, or its own. */
export interface Plan {
  readonly kind: 'create' | 'take-over' | 'update'
  readonly operations: readonly KvOperation[]
}

export function create(session: string, value: string): Plan {
  return { kind: 'create', operations: [{ Verb: 'check-not-exists' }, lock(session, value)] }
}

/** Deleting the key first releases it from any session, in one transaction with the check. */
export function takeOver({ modifyIndex }: ConsulItem, session: string, value: string): Plan {
  const operations = [{ Verb: 'check-index', Index: modifyIndex }, { Verb: 'delete' }, lock(session, value)] as const
  return { kind: 'take-over', operations }
}

export function update({ modifyIndex }: ConsulItem, session: string, value: string): Plan {
  return { kind: 'update', operations: [{ Verb: 'check-index', Index: modifyIndex }, lock(session, value)] }
}

export function release({ modifyIndex, session: owner }: ConsulItem, session: string, value: string): Plan {
  const operations: readonly KvOperation[] =
    owner === session
      ? [
          { Verb: 'check-index', Index: modifyIndex },
          { Verb: 'unlock', Value: value, Session: session },
        ]
      : [{ Verb: 'cas', Index: modifyIndex, Value: value }]
  return { kind: 'update', operations }
}

function lock(session: string, value: string): KvOperation {
  return { Verb: 'lock', Value: value, Session: session }
}

export const candidaciesKey = (key: string) => `${key}/candidates/`
export const foundedKey = (key: string) => `${key}/founded`

/** The cluster that the sign names; undefined where there is none, or it names no cluster. */
export function clusterOf(founded: Buffer | undefined): string | undefined {
  const id = founded?.toString('latin1') ?? ''
  return /^[0-9a-f]{16}$/.test(id) ? id : undefined
}

/**
 * What goes with a record that is made or taken over: the sign that there is a cluster, in case the record is removed,
 * and the end of what nodes have said while there was no record. `founded` is the sign as it is. Where there is no
 * record it alone says which cluster this is, so it is not replaced by that of another; `undefined` says that.
 */
export function besides(
  key: string,
  kind: 'create' | 'take-over',
  { clusterId }: LeaseRecord,
  founded: ConsulItem | undefined,
): readonly KvOperation[] | undefined {
  const found = clusterOf(founded?.value)
  if (kind === 'create' && found !== undefined && found !== clusterId) return undefined
  const Key = foundedKey(key)
  const index = founded?.modifyIndex ?? 0
  const sign: KvOperation =
    found === clusterId
      ? { Verb: 'check-index', Key, Index: index }
      : { Verb: 'cas', Key, Index: index, Value: Buffer.from(clusterId).toString('base64') }
  return kind === 'create' ? [sign, { Verb: 'delete-tree', Key: candidaciesKey(key) }] : [sign]
}
