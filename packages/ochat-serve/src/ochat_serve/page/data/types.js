// The shapes of what the page keeps, as JSDoc types only.

/**
 * @typedef {object} Message A node of a conversation's tree.
 * @property {string} id
 * @property {string} conversation
 * @property {string|null} parent The message before it; null for a first question.
 * @property {"user"|"assistant"} role
 * @property {string} content
 * @property {number} created Orders siblings.
 * @property {string} [model]
 * @property {string} [condition]
 * @property {string} [reason] Why an answer ended: stop, length, stopped, broken; "" while running.
 * @property {Facts} [facts]
 * @property {string} [group] Answers with the same group were asked for side by side.
 */

/**
 * @typedef {object} Facts What an answer cost.
 * @property {number} tokens
 * @property {number} rate Tokens a second after the first one; 0 where there is only one.
 * @property {number} first Seconds until the first text.
 */

/**
 * @typedef {object} Conversation
 * @property {string} id
 * @property {string} title
 * @property {boolean} named Whether a person chose the title.
 * @property {string|null} folder
 * @property {number} created
 * @property {number} updated
 * @property {string|null} leaf The last message of the branch that is shown.
 * @property {Settings} settings
 */

/**
 * @typedef {object} Settings How answers are asked for.
 * @property {string} model "" is the server's preferred one.
 * @property {string} condition "" is the template's default.
 * @property {string} system
 * @property {number} temperature
 * @property {number} top_p
 * @property {number|null} max_tokens
 * @property {number} presence_penalty
 * @property {number} frequency_penalty
 * @property {string[]} stop
 * @property {number|null} seed
 */

/** @typedef {{id: string, name: string, created: number, open: boolean}} Folder */
/** @typedef {{id: string, name: string, settings: Settings}} Preset */
/** @typedef {{id: string, name: string, description: string, content: string}} Prompt */

export {};
