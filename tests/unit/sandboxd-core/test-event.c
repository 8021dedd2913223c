/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/event.h"

#include <stdio.h>
#include <stdlib.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "libsandbox/string-util.h"
#include "tests/test.h"

typedef struct Fixture {
        char directory[32];
        sd_event *loop;
        Store *store;
        EventHub *hub;
} Fixture;

static void fixture_start(Fixture *f, uint64_t keep) {
        bool fresh;

        strcpy(f->directory, "/tmp/events-XXXXXX");
        ASSERT_NOT_NULL(mkdtemp(f->directory));
        ASSERT_OK(sd_event_new(&f->loop));
        ASSERT_OK(store_open(f->directory, &fresh, &f->store));
        ASSERT_OK(event_hub_new(f->loop, f->store, keep, 0, &f->hub));
}

static void fixture_done(Fixture *f) {
        static const char *const names[] = { "sandboxd.db", "reserve" };
        char path[64];

        f->hub = event_hub_free(f->hub);
        f->store = store_close(f->store);
        sd_event_unref(f->loop);
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                snprintf(path, sizeof path, "%s/%s", f->directory, names[i]);
                (void) unlink(path);
        }
        ASSERT_EQ(rmdir(f->directory), 0);
}

typedef struct Heard {
        char topics[256];
        EventStamp first;
        uint64_t last;
        unsigned n;
        Fixture *answer;        /* publishes once more */
        EventListener *self;
} Heard;

static void on_event(const Event *event, void *userdata) {
        Heard *h = userdata;

        if (h->n++ == 0) {
                strcpy(h->first.id, event->id);
                h->first.time_msec = event->time_msec;
        }
        strcat(strcat(h->topics, event->topic), " ");
        ASSERT_TRUE(event->number > h->last);
        h->last = event->number;
        if (h->answer)
                event_hub_publish(TAKE_PTR(h->answer)->hub, "answer", NULL, NULL, NULL);
        h->self = event_unlisten(h->self);
}

static void run_until_idle(Fixture *f) {
        while (ASSERT_OK(sd_event_run(f->loop, 0)) > 0)
                ;
}

static uint64_t kept(Fixture *f) {
        uint64_t n;

        ASSERT_OK(store_count_objects(f->store, EVENT_KIND, NULL, NULL, &n));
        return n;
}

TEST(events_are_kept_and_told_in_order) {
        EventListener *listener;
        Heard heard = {};
        Fixture f = {};
        EventStamp stamp;

        fixture_start(&f, 100);
        heard.answer = &f;
        ASSERT_OK(event_listen(f.hub, on_event, &heard, &listener));
        event_hub_publish(f.hub, "a", "sbx_1", json_pack("{s:i}", "x", 1), &stamp);
        event_hub_publish(f.hub, "b", NULL, NULL, NULL);
        ASSERT_EQ(heard.n, 0U); /* no publisher waits for those who listen */
        run_until_idle(&f);
        ASSERT_STREQ(heard.topics, "a b answer ");
        ASSERT_EQ(kept(&f), 3U);
        ASSERT_TRUE(startswith(stamp.id, "evt_"));
        ASSERT_STREQ(heard.first.id, stamp.id);
        ASSERT_EQ(heard.first.time_msec, stamp.time_msec);
        event_unlisten(listener);
        fixture_done(&f);
}

TEST(a_listener_may_leave_when_it_is_called) {
        Heard first = {}, second = {};
        Fixture f = {};

        fixture_start(&f, 100);
        ASSERT_OK(event_listen(f.hub, on_event, &first, &first.self));
        ASSERT_OK(event_listen(f.hub, on_event, &second, &second.self));
        event_hub_publish(f.hub, "a", NULL, NULL, NULL);
        event_hub_publish(f.hub, "b", NULL, NULL, NULL);
        run_until_idle(&f);
        ASSERT_STREQ(first.topics, "a ");
        ASSERT_STREQ(second.topics, "a ");
        fixture_done(&f);
}

TEST(what_is_not_written_yet_is_written_at_the_end) {
        Fixture f = {};

        fixture_start(&f, 100);
        event_hub_publish(f.hub, "a", NULL, NULL, NULL);
        f.hub = event_hub_free(f.hub);
        ASSERT_EQ(kept(&f), 1U);
        fixture_done(&f);
}

TEST(the_oldest_are_forgotten) {
        Fixture f = {};

        fixture_start(&f, 20);
        for (unsigned i = 0; i < 3000; i++) {
                event_hub_publish(f.hub, "a", NULL, NULL, NULL);
                if (i % 50 == 0)
                        run_until_idle(&f);
        }
        run_until_idle(&f);
        ASSERT_TRUE(kept(&f) < 20 + 256 + 50);
        fixture_done(&f);
}

TEST(the_aged_are_forgotten) {
        Fixture f = {};

        fixture_start(&f, 1000);
        for (unsigned i = 0; i < 200; i++) {
                char id[16];

                snprintf(id, sizeof id, "evt_%u", i);
                ASSERT_OK(store_put_object(f.store, &(StoredObject) { .kind = EVENT_KIND, .id = id, .tag = "old",
                                                                      .time_msec = 1000, .record = "{}" }));
        }
        event_hub_set_keep(f.hub, 1000, 3600);
        event_hub_publish(f.hub, "new", NULL, NULL, NULL);
        run_until_idle(&f);
        ASSERT_EQ(kept(&f), 1U);
        ASSERT_TRUE(event_topic_is_valid("a.b") && !event_topic_is_valid("a b") && !event_topic_is_valid(""));
        fixture_done(&f);
}
