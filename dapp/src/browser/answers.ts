// What is read of an answer from elsewhere.

/** No answer is nearly as large; what is sent compressed may become larger than a browser bears. */
const MOST_BYTES = 16 * 2 ** 20;

export class TooLarge extends Error {}

/** Throws TooLarge. */
export async function textOf({ body }: Response): Promise<string> {
  const reader = body?.getReader();
  const decoder = new TextDecoder();
  let [text, bytes] = ["", 0];
  for (let part = await reader?.read(); part?.value; part = await reader?.read()) {
    bytes += part.value.length;
    if (bytes > MOST_BYTES) {
      void reader?.cancel();
      throw new TooLarge();
    }
    text += decoder.decode(part.value, { stream: true });
  }
  return text + decoder.decode();
}
