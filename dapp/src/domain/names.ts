// What addresses, names and pages look like to the contract.

const ADDRESS = /^0x[0-9a-fA-F]{40}$/;
const NAME = /^[a-z0-9][a-z0-9._-]{0,63}$/;
const PAGE = /^https:\/\/[!-~]{1,192}$/;

export const isAddress = (text: string): boolean => ADDRESS.test(text) && !/^0x0{40}$/.test(text);
/** Of an API or a plan. */
export const isName = (text: string): boolean => NAME.test(text);
/** Evidence or a status page; none is one too. */
export const isPage = (text: string): boolean => text === "" || PAGE.test(text);
export const shortAddress = (address: string): string => `${address.slice(0, 6)}…${address.slice(-4)}`;

/** Of a name that says more: `Carl, low on credit`. */
export const firstName = (name: string): string => name.split(",")[0] ?? "";
