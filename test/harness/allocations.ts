/** Limits the memory that a piece of code may allocate at once. */

const TYPED = [
  'Uint8Array',
  'Uint32Array',
  'Int32Array',
  'Float64Array',
  'BigUint64Array',
  'SharedArrayBuffer',
  'ArrayBuffer',
] as const
const BUFFERS = ['alloc', 'allocUnsafe', 'allocUnsafeSlow', 'concat'] as const
/** More than any buffer of a fixed size needs. */
const ENOUGH_BYTES = 16 << 20

class TooMuchMemoryError extends Error {
  constructor(what: string, sizeBytes: number) {
    super(`an allocation of ${what} with ${sizeBytes} bytes is over the limit`)
  }
}

/**
 * Runs `work`. Meanwhile every typed array, buffer or list of more than `limitBytes` is a TooMuchMemoryError, also for
 * other code.
 */
export async function withBoundedMemory<T>(work: () => T | Promise<T>, limitBytes = ENOUGH_BYTES): Promise<T> {
  const restore: (() => void)[] = []
  const assertWithin = (what: string, sizeBytes: number) => {
    if (sizeBytes > limitBytes) throw new TooMuchMemoryError(what, sizeBytes)
  }
  for (const name of TYPED) {
    const original = globalThis[name] as unknown as { new (...args: never[]): object; BYTES_PER_ELEMENT?: number }
    const bytesEach = original.BYTES_PER_ELEMENT ?? 1
    const bounded: object = new Proxy(original, {
      construct(target, args: never[], newTarget: object): object {
        const [length] = args as unknown[]
        if (typeof length === 'number') assertWithin(name, length * bytesEach)
        return Reflect.construct(target, args, newTarget === bounded ? target : (newTarget as never))
      },
    })
    Object.assign(globalThis, { [name]: bounded })
    restore.push(() => Object.assign(globalThis, { [name]: original }))
  }
  for (const name of BUFFERS) {
    const original = Reflect.get(Buffer, name) as (...args: unknown[]) => Buffer
    const bounded = (...args: unknown[]) => {
      const [first] = args
      const length = Array.isArray(first)
        ? (first as Uint8Array[]).reduce((sum, part) => sum + part.length, 0)
        : Number(first)
      assertWithin(`Buffer.${name}`, length)
      return Reflect.apply(original, Buffer, args)
    }
    Object.assign(Buffer, { [name]: bounded })
    restore.push(() => Object.assign(Buffer, { [name]: original }))
  }
  const push = Reflect.get(Array.prototype, 'push') as (...items: unknown[]) => number
  Object.assign(Array.prototype, {
    push(this: unknown[], ...items: unknown[]) {
      // Counts eight bytes an item, to notice a list that grows without end.
      if ((this.length & 0xffff) === 0) assertWithin('a list', this.length * 8)
      return Reflect.apply(push, this, items)
    },
  })
  restore.push(() => Object.assign(Array.prototype, { push }))
  try {
    return await work()
  } finally {
    for (const undo of restore.reverse()) undo()
  }
}
