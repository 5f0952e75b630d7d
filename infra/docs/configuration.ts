/**
 * docs/configuration.md: keys, values and defaults come from the schema, descriptions from the output of `ltxd init`.
 */

import { z } from 'zod'
import { NODE_FLAGS } from '../../src/cli/options/node-options.ts'
import { DEFAULT_LEASE_TTL_MS, fileSchema, KNOWN_KEYS } from '../../src/config/schema.ts'
import { CONFIG_TEMPLATE } from '../../src/config/template.ts'
import { UNSUPPORTED_KEYS } from '../../src/config/unsupported-keys.ts'
import { wrap } from './markdown.ts'

/** Defaults that are not in the schema. */
const LATE_DEFAULTS: Readonly<Record<string, string>> = {
  'lease.ttl': `${DEFAULT_LEASE_TTL_MS / 1000}s`,
  'log.level': 'info',
}

const HEAD = `# Configuration

This page is generated from the code by \`npm run docs\`.

\`ltxd mount\` and the other commands look for \`ltxd.yml\` in \`.\`, \`~/.config/ltxd\` and \`/etc\`, in this order;
\`--config FILE\` names another file. \`ltxd init\` writes a commented file, \`ltxd config\` prints the configuration in
force. Unknown keys are errors with their line. A command-line flag overrides the file.

A file that is found there, and not named, must belong to the user that runs ltxd, or to root, and not every user may
write to it: its commands run as that user.

\`\${VAR}\` and \`\${VAR:-default}\` insert environment variables, \`$$\` is a dollar sign. Durations: \`500ms\`, \`30s\`,
\`10m\`, \`24h\`, \`7d\`. Sizes: \`512KB\`, \`64MB\`, \`1GB\` (decimal), \`64MiB\` (binary).
`

/** Keys that are not in the template: those of litefs.yml with the meaning of another key, and items of a list. */
const ALIASES: Readonly<Record<string, string>> = {
  'lease.consul.ttl': 'As litefs.yml writes `lease.ttl`.',
  'log.debug': 'As litefs.yml writes `log.level: debug`.',
}

interface Key {
  readonly path: string
  readonly kind: string
  readonly default?: unknown
}

export function configurationPage(): string {
  const words = templateWords()
  const parts = [HEAD]
  for (const key of configurationKeys()) {
    parts.push(entry(key, words.get(key.path) ?? ALIASES[key.path] ?? ''))
  }
  return parts.join('\n') + '\n' + unsupported()
}

/** All keys of the schema in its order, a section before its keys. */
export function configurationKeys(): Key[] {
  return [...keysOf(fileSchema, '')]
}

function* keysOf(schema: z.ZodObject, prefix: string): Generator<Key> {
  const entries = Object.entries(schema.shape)
  const keys = entries.map(([name, value]) => ({ path: prefix + name, ...describe(value as z.ZodType) }))
  for (const { path, kind, section, ...rest } of keys) {
    yield { path, kind, ...('default' in rest && kind !== 'section' ? { default: rest.default } : {}) }
    if (section !== undefined) yield* keysOf(section, `${path}.`)
  }
}

interface Described {
  readonly kind: string
  readonly default?: unknown
  readonly section?: z.ZodObject
}

function describe(schema: z.ZodType): Described {
  if (schema.description !== undefined) return { kind: schema.description }
  if (schema instanceof z.ZodPrefault) {
    return { ...describe(schema.def.innerType as z.ZodType), default: schema.def.defaultValue }
  }
  if (schema instanceof z.ZodOptional) return describe(schema.def.innerType as z.ZodType)
  if (schema instanceof z.ZodPipe) return describe(schema.def.out as z.ZodType)
  if (schema instanceof z.ZodObject) return { kind: 'section', section: schema }
  if (schema instanceof z.ZodArray) {
    const { kind } = describe(schema.def.element as z.ZodType)
    return { kind: kind === 'section' ? 'command, or list of commands' : `list; each a ${kind}` }
  }
  throw new Error(`docs/configuration.md cannot show a ${schema.def.type}: describe it in src/config/scalars.ts`)
}

function entry({ path, kind, default: value = LATE_DEFAULTS[path] }: Key, words: string): string {
  const flag = NODE_FLAGS.find((each) => each.path.join('.') === path)?.option
  const facts = [
    kind,
    ...(value === undefined ? [] : [`default \`${shown(value)}\``]),
    ...(flag === undefined ? [] : [`flag \`${flag}\``]),
  ]
  const text = [kind === 'section' ? '' : facts.join(' · '), wrap(words.replaceAll('*', '\\*'))]
  return `${path.includes('.') ? '###' : '##'} ${path}\n${text.map((each) => (each === '' ? '' : `\n${each}\n`)).join('')}`
}

/** The value in YAML. */
function shown(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(shown).join(', ')}]`
  return typeof value === 'string' && !value.startsWith('*') ? value : JSON.stringify(value)
}

/** The comment above each key of the template, by path. */
function templateWords(): Map<string, string> {
  const words = new Map<string, string>()
  const section: string[] = []
  let above: string[] = []
  for (const line of CONFIG_TEMPLATE.split('\n')) {
    const [, indent = '', comment, text = ''] = /^( *)(# )?(.*)$/.exec(line) ?? []
    if (text === '') {
      above = []
      continue
    }
    section.length = indent.length / 2
    const name = /^([a-z0-9-]+):(?: |$)/.exec(text)?.[1]
    const isKey = name !== undefined && KNOWN_KEYS[section.join('.')]?.includes(name) === true
    if (!isKey) {
      above.push(text)
      continue
    }
    words.set([...section, name].join('.'), above.join(' '))
    above = []
    if (comment === undefined) section.push(name)
  }
  return words
}

function unsupported(): string {
  const rows = UNSUPPORTED_KEYS.map(({ path, accepts, instead }) => {
    const values = accepts?.map((value) => `\`${JSON.stringify(value)}\``).join(', ') ?? 'none'
    return `| \`${path.join('.')}\` | ${values} | ${instead} |`
  })
  return [
    '## Keys of litefs.yml that this version does not support',
    '',
    'They are errors with the message below, except with a value that means the behaviour of ltxd.',
    '',
    '| key | accepted values | message |',
    '|---|---|---|',
    ...rows,
    '',
  ].join('\n')
}
