import { createRequire } from 'node:module'
import type koffiModule from 'koffi'

type Koffi = typeof koffiModule

/**
 * Calls of the C library that Node.js has none for. What is returned binds them when it is first called, and returns
 * undefined where koffi has no native module for this machine.
 */
export function callsOf<T>(bind: (libc: ReturnType<Koffi['load']>, koffi: Koffi) => T): () => T | undefined {
  let bound: { readonly calls: T | undefined } | undefined
  return () => (bound ??= { calls: attempt(bind) }).calls
}

function attempt<T>(bind: (libc: ReturnType<Koffi['load']>, koffi: Koffi) => T): T | undefined {
  try {
    const koffi = createRequire(import.meta.url)('koffi') as Koffi
    return bind(koffi.load(null), koffi)
  } catch {
    return undefined
  }
}
