#pragma once

struct Quote {
  double bid;
  double ask;
};
