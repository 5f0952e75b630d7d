import { expect, test } from 'vitest'
import { toFileValue } from './effective.ts'
import { parseConfig } from './load.ts'

test('a mode is octal, in quotes, lets ltxd in, and lets not everybody write', () => {
  const parse = (text: string) => parseConfig({ name: 'ltxd.yml', text }, {})
  const modes = (mode: string) => parse(`data: { mode: ${mode} }\nbackup: { url: "file:///b", mode: ${mode} }`)
  for (const [text, mode] of [
    ['"0750"', 0o750],
    ['"700"', 0o700],
    ["'0755'", 0o755],
  ] as const) {
    expect([modes(text).data.mode, modes(text).backup?.mode]).toEqual([mode, mode])
    expect(toFileValue(modes(text))).toMatchObject({ data: { mode: `0${mode.toString(8)}` } })
  }
  for (const text of ['0750', '"0650"', '"0777"', '"0702"', '"1700"', '"rwx"', '""']) {
    expect(() => parse(`data: { mode: ${text} }`), text).toThrow(/data\.mode/)
  }
})
