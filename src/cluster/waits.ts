/** Why a node that could acquire the lease does not. */

import type { NodeName } from '../util/node-address.ts'
import type { Leader } from './lease/lease.ts'
import { missed, yieldMs } from './role/election.ts'
import type { Event } from './role/role-events.ts'
import type { Rules, State } from './role/role-state.ts'
import type { Troubles } from './troubles.ts'

export function noteWaits(troubles: Troubles, state: State, event: Event, rules: Rules): void {
  const { unfit = undefined } = state.name === 'standing-by' ? state : {}
  if (unfit === undefined) troubles.over('unfit')
  else troubles.began('unfit', `the lease is free, but this node does not lead: ${unfit}`)
  if (state.name !== 'standing-by') troubles.over('absent')
  if (event.type !== 'stood') return
  noteAbsent(troubles, missed(state, event.absent, rules))
  const { yielding, ahead = [] } = (state.name === 'standing-by' && state.election) || {}
  const first = ahead.find(({ nodeId }) => nodeId === yielding?.nodeId)
  if (first === undefined || unfit !== undefined || state.seen === undefined) return troubles.over('yield')
  const seconds = Math.ceil(yieldMs(state.seen.view, rules) / 1_000)
  const { hostname } = first
  troubles.began('yield', `${hostname} has more than this node, which leaves the lease to it for up to ${seconds} s`)
}

function noteAbsent(troubles: Troubles, absent: readonly NodeName[]): void {
  if (absent.length === 0) return troubles.over('absent')
  const names = absent.map(({ hostname, nodeId }) => `${hostname} (${nodeId})`).join(', ')
  troubles.began(
    'absent',
    `the lease has lost its record, and one of these nodes may have led last: ${names}. This node does not lead before ` +
      'it has heard of all of them: start them. "ltxd promote --force" leads without what only they have, and they set ' +
      'it aside when they return',
  )
}

export function missingHistory({ holder: { hostname }, term, kept }: Leader): string {
  const reason =
    kept === 'alone'
      ? `${hostname} has transactions that no other node is known to have`
      : `${hostname} led later than this node's history reaches`
  return (
    `${reason} (term ${term}), so this node does not lead: start ${hostname}, or a replica that has everything from it. ` +
    `"ltxd promote --force" leads without those transactions, and ${hostname} sets them aside when it returns`
  )
}
