import type { EtaConfig } from 'eta'

/** A plugin for Eta. */
export type EtaPlugin = EtaConfig['plugins'][number]

/** A piece of a parsed template: text that stands for itself, or a tag. */
export type AstNode = Parameters<NonNullable<EtaPlugin['processAST']>>[0][number]

/** A parsed tag: its kind and the code in it. */
export type TagNode = Exclude<AstNode, string>

export type { EtaConfig }
