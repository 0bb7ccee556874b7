/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's vhost-net (Linux's drivers/vhost/net.c and
 * include/uapi/linux/vhost.h): it transfers frames between the rings and the
 * tap, from the first kick until the device is drained.  Kicks go to it
 * directly, and its interrupts go to the guest directly; InterruptStatus is
 * derived from the used rings.
 *
 * vhost-net accesses guest memory by this process's addresses.  If written
 * pages are tracked, it keeps a dirty log of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "core/base/err.h"
#include "core/io/log.h"
#include "core/machine/mem.h"
#include "devices/virtio/net/net_internal.h"

/*
 * Features of the rings and the header; the others concern only guest and tap.
 */
#define RING_FEATURES                                                 \
	(BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_RING_F_INDIRECT_DESC) | \
	 BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_NET_F_MRG_RXBUF))

/* ------------------------------------------------------------ written pages */

static gpa_t memory_end(const struct guest_mem *mem)
{
	const struct guest_mem_region *last =
		&mem->region[mem->region_count - 1];

	return last->gpa + last->size;
}

static int make_log(struct net_vhost *v, const struct guest_mem *mem)
{
	uint64_t address;
	void *log;

	v->log_len = align_up(memory_end(mem) / VHOST_PAGE_SIZE, 64) / 8;
	log = mmap(NULL, v->log_len, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (log == MAP_FAILED)
		return -1;
	v->log = log;
	address = (uintptr_t)log;
	return ioctl(v->fd, VHOST_SET_LOG_BASE, &address);
}

/* Move vhost's dirty log into ours, while vhost is stopped. */
static void take_log(struct net_vhost *v, const struct guest_mem *mem)
{
	for (uint64_t i = 0; v->log && i < v->log_len / sizeof(*v->log); i++) {
		for (uint64_t bits = v->log[i]; bits; bits &= bits - 1) {
			gpa_t gpa = (i * 64 + (unsigned)__builtin_ctzll(bits)) *
				    VHOST_PAGE_SIZE;
			void *host = guest_mem_at(mem, gpa, VHOST_PAGE_SIZE);

			if (host)
				guest_mem_written(mem, host, VHOST_PAGE_SIZE);
		}
		if (v->log[i])
			v->log[i] = 0;
	}
}

/* ------------------------------------------------------------------- set-up */

static int set_memory(int fd, const struct guest_mem *mem)
{
	union {
		struct vhost_memory m;
		uint8_t room[sizeof(struct vhost_memory) +
			     GUEST_MEM_REGIONS_MAX *
				     sizeof(struct vhost_memory_region)];
	} table = {.m.nregions = mem->region_count};

	for (unsigned i = 0; i < mem->region_count; i++) {
		const struct guest_mem_region *r = &mem->region[i];

		table.m.regions[i] = (struct vhost_memory_region){
			.guest_phys_addr = r->gpa,
			.memory_size = r->size,
			.userspace_addr =
				(uintptr_t)guest_mem_at(mem, r->gpa, r->size),
		};
	}
	return ioctl(fd, VHOST_SET_MEM_TABLE, &table);
}

static int prepare(struct net *n, struct err *e)
{
	const struct guest_mem *mem = n->dev.slot.mem;
	struct net_vhost *v = &n->vhost;
	uint64_t needed = RING_FEATURES, features;

	if (mem->dirty)
		needed |= BIT(VHOST_F_LOG_ALL);
	if (ioctl(v->fd, VHOST_SET_OWNER) ||
	    ioctl(v->fd, VHOST_GET_FEATURES, &features) ||
	    set_memory(v->fd, mem))
		return err_errno(e, "vhost-net does not start");
	if (needed & ~features)
		return err_set(e,
			       "this kernel's vhost-net lacks features 0x%llx; "
			       "do without `vhost`",
			       (unsigned long long)(needed & ~features));
	if (mem->dirty && make_log(v, mem))
		return err_errno(e, "vhost-net cannot keep track of pages");
	return 0;
}

int net_vhost_check(struct err *e)
{
	int fd = open("/dev/vhost-net", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		err_errno(e, "cannot open /dev/vhost-net (load the module "
			     "vhost_net, give this user access, or do "
			     "without `vhost`)");
	return fd;
}

/*
 * vhost reports an error of one of its rings, but not of which; it would fail
 * again at each kick, so stop it.
 */
static void failed(struct virtio_device *dev) REQUIRES(device_lock)
{
	struct net *n = net_of(dev);

	if (!n->vhost.running)
		return;
	net_vhost_stop(n);
	dev->queue[NET_TX].broken = "vhost-net gave up on it, or on the other";
}

static int add_event(struct virtio_device *dev, struct virtio_source *source,
		     int *fd, void (*ready)(struct virtio_device *dev),
		     struct err *e)
{
	int r;

	*fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (*fd < 0)
		return err_errno(e, "cannot create an eventfd");
	r = virtio_watch(dev, source, *fd, EPOLLIN | EPOLLET, ready);
	if (!r)
		return 0;
	source->dev = NULL;
	errno = -r;
	return err_errno(e, "cannot watch an eventfd");
}

int net_use_vhost(struct virtio_device *dev, struct err *e)
{
	struct net *n = net_of(dev);
	struct net_vhost *v = &n->vhost;

	v->fd = net_vhost_check(e);
	if (v->fd < 0 || prepare(n, e))
		return -1;
	return add_event(dev, &v->stopped, &v->stopped_fd, virtio_watch_kicks,
			 e) || add_event(dev, &v->error, &v->error_fd, failed,
					 e)
		       ? -1
		       : 0;
}

void net_vhost_fini(struct net *n)
{
	struct net_vhost *v = &n->vhost;

	virtio_unwatch(&n->dev, &v->stopped);
	virtio_unwatch(&n->dev, &v->error);
	util_close(&v->stopped_fd);
	util_close(&v->error_fd);
	util_close(&v->fd);
	if (v->log)
		munmap(v->log, v->log_len);
}

/* ------------------------------------------------------------- start, stop */

static int set_backend(struct net *n, unsigned queue, int fd)
{
	struct vhost_vring_file file = {.index = queue, .fd = fd};

	return ioctl(n->vhost.fd, VHOST_NET_SET_BACKEND, &file);
}

static int start_ring(struct net *n, unsigned i)
{
	const struct virtq *vq = &n->dev.queue[i];
	const int fd = n->vhost.fd;
	struct vhost_vring_state size = {.index = i, .num = vq->size};
	struct vhost_vring_state base = {.index = i, .num = vq->next_avail};
	struct vhost_vring_file kick = {.index = i, .fd = n->dev.kick[i].fd};
	struct vhost_vring_file call = {.index = i, .fd = n->dev.slot.irq_fd};
	struct vhost_vring_file error = {.index = i, .fd = n->vhost.error_fd};
	struct vhost_vring_addr addr = {
		.index = i,
		.flags = n->vhost.log ? BIT(VHOST_VRING_F_LOG) : 0,
		.desc_user_addr = (uintptr_t)vq->desc,
		.avail_user_addr = (uintptr_t)vq->avail,
		.used_user_addr = (uintptr_t)vq->used,
		.log_guest_addr = vq->used_gpa,
	};

	if (ioctl(fd, VHOST_SET_VRING_NUM, &size) ||
	    ioctl(fd, VHOST_SET_VRING_BASE, &base) ||
	    ioctl(fd, VHOST_SET_VRING_ADDR, &addr) ||
	    ioctl(fd, VHOST_SET_VRING_KICK, &kick) ||
	    ioctl(fd, VHOST_SET_VRING_CALL, &call) ||
	    ioctl(fd, VHOST_SET_VRING_ERR, &error))
		return -1;
	return set_backend(n, i, n->tap_fd);
}

/*
 * Stop a ring and note where vhost stopped.  The ioctls cannot fail on a ring
 * that was set up.
 */
static void stop_ring(struct net *n, unsigned i)
{
	struct virtq *vq = &n->dev.queue[i];
	struct vhost_vring_state base = {.index = i};

	set_backend(n, i, -1);
	if (!ioctl(n->vhost.fd, VHOST_GET_VRING_BASE, &base))
		vq->next_avail = vq->seen_avail = (uint16_t)base.num;
}

void net_vhost_start(struct net *n)
{
	uint64_t features = n->dev.accepted & RING_FEATURES;

	if (n->vhost.running)
		return;
	if (n->vhost.log)
		features |= BIT(VHOST_F_LOG_ALL);
	n->vhost.running = true;
	n->dev.inflight++; /* until net_drain() */
	net_rx_watch(n, false);
	net_watch_loss(n);
	/*
	 * Before vhost can interrupt, because the driver then reads
	 * InterruptStatus.
	 */
	virtio_lend_rings(&n->dev);
	if (ioctl(n->vhost.fd, VHOST_SET_FEATURES, &features))
		n->dev.queue[NET_TX].broken = "vhost-net refuses its features";
	for (unsigned i = 0; i < NET_QUEUES; i++) {
		struct virtq *vq = &n->dev.queue[i];

		if (vq->started && !vq->broken && start_ring(n, i))
			vq->broken = "vhost-net refuses it";
	}
}

void net_vhost_stop(struct net *n)
{
	if (!n->vhost.running)
		return;
	for (unsigned i = 0; i < NET_QUEUES; i++) {
		if (n->dev.queue[i].started)
			stop_ring(n, i);
	}
	take_log(&n->vhost, n->dev.slot.mem);
	n->vhost.running = false;
	n->dev.inflight--;
	virtio_take_rings(&n->dev);
	/* May be a vCPU thread, so the main thread watches kicks again. */
	(void)!eventfd_write(n->vhost.stopped_fd, 1);
}
