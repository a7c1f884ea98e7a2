/* A hash map from strings, kept in order of insertion: entries lie in a vector, and an open-addressed table
 * holds their positions plus one (0: free).  The table is at most three quarters full. */
#include "support/context.h"

#include <xxhash.h>

void tn_map_init(struct tn_map *map, tn_arena *arena) {
  *map = (struct tn_map){.arena = arena};
}

static size_t find_slot(const struct tn_map *map, const char *key) {
  size_t mask = map->slot_count - 1;
  size_t slot = (size_t)XXH3_64bits(key, strlen(key)) & mask;
  while (map->slots[slot] && strcmp(map->entries[map->slots[slot] - 1].key, key) != 0)
    slot = (slot + 1) & mask;
  return slot;
}

static const struct tn_map_entry *find(const struct tn_map *map, const char *key) {
  if (map->slot_count == 0)
    return NULL;
  uint32_t position = map->slots[find_slot(map, key)];
  return position ? &map->entries[position - 1] : NULL;
}

void *tn_map_get(const struct tn_map *map, const char *key) {
  const struct tn_map_entry *entry = find(map, key);
  return entry ? entry->value : NULL;
}

bool tn_map_has(const struct tn_map *map, const char *key) {
  return find(map, key) != NULL;
}

static void grow(struct tn_map *map) {
  size_t slot_count = map->slot_count ? map->slot_count * 2 : 16;
  if (slot_count > UINT32_MAX)
    tn_no_memory(map->arena->ctx);
  map->slots = TN_NEW_ARRAY(map->arena, uint32_t, slot_count);
  map->slot_count = slot_count;
  for (size_t i = 0; i < map->count; i++)
    map->slots[find_slot(map, map->entries[i].key)] = (uint32_t)(i + 1);
}

void tn_map_set(struct tn_map *map, const char *key, void *value) {
  if (map->count >= map->slot_count / 4 * 3)
    grow(map);
  size_t slot = find_slot(map, key);
  if (map->slots[slot]) {
    map->entries[map->slots[slot] - 1].value = value;
    return;
  }
  if (map->count == map->cap)
    map->entries = tn_vec_grow(map->arena, map->entries, map->count, &map->cap, sizeof *map->entries);
  map->entries[map->count++] = (struct tn_map_entry){key, value};
  map->slots[slot] = (uint32_t)map->count;
}
