// A metered API: one price for each forecast, one that is known only afterwards, and one of a stream.

import express from "express";

import { metered } from "./meter.js";

// Of a meter in GEN. Amounts are of the smallest unit of the meter's currency: in USD this would be one whole dollar.
const GWEI = 1_000_000_000n;
const token = process.env.API_BILLING_SERVICE_TOKEN;
if (!token) throw new Error("set API_BILLING_SERVICE_TOKEN to the token of the HTTP meter");
const payments = process.env.PAYMENTS === "true"; // where the HTTP meter has API_BILLING_PAYMENTS
const meter = { url: process.env.METER_URL ?? "http://127.0.0.1:8790", token, api: "weather", payments };

const app = express();

app.get("/forecast/:city", metered({ ...meter, estimateWei: 5n * GWEI }), (req, res) => {
  res.json({ city: req.params.city, forecast: "sunny" });
});

const aFew = ["20/minute; per=address; name=a few"];
app.get("/archive/:days", metered({ ...meter, estimateWei: 50n * GWEI, limits: aFew, units: 2 }), (req, res) => {
  const days = Math.min(Math.max(Number(req.params.days) || 1, 1), 50);
  res.locals.costWei = BigInt(days) * GWEI;
  res.json({ days: Array(days).fill("rain") });
});

// What it costs is told by the body: one price for each of its cities.
const inBody = { estimateWei: async (req) => BigInt(req.body.cities.length) * GWEI, model: (req) => req.body.model };
app.post("/forecasts", express.json(), metered({ ...meter, ...inBody, operation: "many" }), (req, res) => {
  res.json(req.body.cities.map((city) => ({ city, forecast: "sunny" })));
});

app.get("/hours", metered({ ...meter, estimateWei: 20n * GWEI }), (req, res) => {
  for (const hour of [6, 12, 18]) res.write(`${hour}:00 sunny\n`);
  res.locals.costWei = 3n * GWEI;
  res.end();
});

app.get("/broken", metered({ ...meter, estimateWei: 5n * GWEI }), () => {
  throw new Error("costs nothing");
});

const server = app.listen(Number(process.env.PORT ?? 3000), "127.0.0.1", () => {
  console.log(JSON.stringify({ url: `http://127.0.0.1:${server.address().port}` }));
});
