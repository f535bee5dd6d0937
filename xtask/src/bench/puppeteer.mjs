// Renders one document after the other: a line of JSON in, the number of pages out.
import { createInterface } from 'node:readline';
import puppeteer from 'puppeteer-core';

const browser = await puppeteer.launch({
  executablePath: process.argv[2],
  pipe: true,
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run'],
});
process.on('exit', () => browser.process()?.kill());
for await (const line of createInterface({ input: process.stdin })) {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  await page.setContent(JSON.parse(line), { waitUntil: 'load' });
  const pdf = await page.pdf({ preferCSSPageSize: true, printBackground: true, tagged: true, outline: true });
  await context.close();
  const text = Buffer.from(pdf).toString('latin1');
  console.log((text.match(/\/Type\s*\/Page\b(?!s)/g) ?? []).length);
}
await browser.close();
