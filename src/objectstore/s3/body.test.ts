import { describe, expect, it } from 'vitest'
import { resuming } from './body.ts'

const object = Uint8Array.from({ length: 1000 }, (_, i) => i % 251)

/** The object from an offset on, in chunks of 100 bytes. Breaks after `until`. */
async function* pieces(offset: number, until: number, broken?: Error): AsyncIterable<Uint8Array> {
  for (let at = offset; at < Math.min(until, object.length); at += 100) {
    yield object.subarray(at, Math.min(at + 100, until, object.length))
  }
  if (broken !== undefined) throw broken
}

const failed = (cause: unknown) => new Error('broke for good', { cause })

async function read(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return Buffer.concat(chunks)
}

describe('a stream of an object', () => {
  it('resumes where its connection was cut, however often, as long as bytes arrive', async () => {
    const opened: number[] = []
    const cut = new Error('ECONNRESET')
    const openAt = async (offset: number) => {
      opened.push(offset)
      return pieces(offset, offset + 130, cut)
    }
    const bytes = await read(resuming(pieces(50, 250, cut), 50, 1000, openAt, undefined, failed))
    expect(bytes.equals(object.subarray(50))).toBe(true)
    expect(opened).toEqual([250, 380, 510, 640, 770, 900])
  })

  it('resumes where it ended early without an error', async () => {
    const openAt = async (offset: number) => pieces(offset, 1000)
    expect(await read(resuming(pieces(0, 300), 0, 1000, openAt, undefined, failed))).toHaveLength(1000)
  })

  it('fails when no bytes arrive any more, with the error that broke it', async () => {
    let tries = 0
    const openAt = async () => {
      tries++
      return pieces(0, 0, new Error('broken again'))
    }
    const reading = read(resuming(pieces(0, 300, new Error('first')), 0, 1000, openAt, undefined, failed))
    await expect(reading).rejects.toMatchObject({ message: 'broke for good', cause: { message: 'broken again' } })
    expect(tries).toBe(3)
  })

  it('never yields more than was announced', async () => {
    const reading = read(resuming(pieces(0, 1000), 0, 950, async () => pieces(0, 0), undefined, failed))
    await expect(reading).rejects.toThrow('broke for good')
  })

  it('fails with the reason of an abort, not with the error that the abort caused', async () => {
    const control = new AbortController()
    const source = async function* () {
      yield object.subarray(0, 10)
      control.abort(new Error('enough'))
      throw new Error('socket closed')
    }
    const reading = read(resuming(source(), 0, 1000, async () => pieces(10, 1000), control.signal, failed))
    await expect(reading).rejects.toThrow('enough')
  })

  it('closes its source when the reader stops', async () => {
    let left = false
    const source = async function* () {
      try {
        yield object
      } finally {
        left = true
      }
    }
    for await (const chunk of resuming(source(), 0, 2000, async () => pieces(0, 0), undefined, failed)) {
      if (chunk.length > 0) break
    }
    expect(left).toBe(true)
  })
})
